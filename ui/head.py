"""What stands in the page's head, and how it looks before its style sheet comes: no font or script
of another origin, and none that is not on this server."""

from __future__ import annotations

import gradio as gr

from longtake.ui.visit import SCRIPT

STATIC = "/static"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
FIXED_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
SCRIPT_FILE = "begin.js"  # a module, which loads the others
STYLES = ("page.css", "live.css", "timeline.css", "parts.css", "longtake.css")


def head() -> str:
    """HTML."""
    module = f'<script type="module" src="{STATIC}/{SCRIPT_FILE}"></script>'
    styles = "".join(f'<link rel="stylesheet" href="{STATIC}/{name}">' for name in STYLES)
    return (
        f'<script>{SCRIPT}</script>{styles}{module}<meta name="color-scheme" content="light dark">'
    )


def theme() -> gr.themes.Base:
    """Calm and dense; Gradio follows the browser's choice of dark and light."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_sm,
        font=FONTS,
        font_mono=FIXED_FONTS,
    )
    # Words that are set back, and words on a button, are still read by those who see less well.
    return base.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )
