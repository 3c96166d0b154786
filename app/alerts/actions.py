"""Actions of alerts, by name: a webhook, a command, or any callable that takes an event."""

from longtake.alerts.action import ActionFailed
from longtake.alerts.command import Command
from longtake.alerts.webhook import Webhook, parse_notify, signature

__all__ = ["ActionFailed", "Command", "Webhook", "parse_notify", "signature"]
