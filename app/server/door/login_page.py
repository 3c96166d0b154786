"""The page on which people log in: one file of HTML, without a script.

Whether a login is right is not known here.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape

from starlette.responses import HTMLResponse

_STYLE = """
:root { color-scheme: light dark; --back: #f4f4f5; --card: #fff; --ink: #18181b; --line: #71717a;
  --act: #1d4ed8; --on-act: #fff; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --back: #18181b; --card: #27272a; --ink: #f4f4f5;
  --line: #a1a1aa; --act: #93c5fd; --on-act: #18181b; --bad: #fca5a5; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 22rem; padding: 1.5rem; border-radius: .75rem;
  background: var(--card); }
h1 { margin: 0; font-size: 1.25rem; }
form { margin-top: 1.25rem; }
form + form { padding-top: 1rem; border-top: 1px solid var(--line); }
label { display: block; margin-bottom: .75rem; }
input { display: block; width: 100%; margin-top: .25rem; padding: .5rem; font: inherit;
  color: inherit; background: transparent; border: 1px solid var(--line); border-radius: .375rem; }
button { width: 100%; padding: .6rem; font: inherit; font-weight: 600; cursor: pointer; border: 0;
  border-radius: .375rem; background: var(--act); color: var(--on-act); }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
[role=alert] { margin: 1rem 0 0; color: var(--bad); font-weight: 600; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - longtake</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>longtake</h1>
{error}{forms}
</main>
</body>
</html>
"""
_BY_NAME = """<form method="post" action="/login">
<input type="hidden" name="next" value="{next}">
<label>Name <input name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
 required{focus}></label>
<label>Password <input name="password" type="password" autocomplete="current-password"
 required></label>
<button>Log in</button>
</form>
"""
_BY_TOKEN = """<form method="post" action="/login">
<input type="hidden" name="next" value="{next}">
<label>Token <input name="token" type="password" autocomplete="off" required{focus}></label>
<button>Come in with a token</button>
</form>
"""
_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def login_page(
    next: str, *, by_name: bool, by_token: bool, error: str = "", status: int = 200
) -> HTMLResponse:
    """The page.

    Args:
        next: where to go afterwards; a checked path.
        by_name: whether there are users.
        by_token: whether there are tokens.
        error: what went wrong, said above the form.
    """
    forms = (_BY_NAME if by_name else "", _BY_TOKEN if by_token else "")
    focus = " autofocus", "" if by_name else " autofocus"
    shown = "".join(
        form.format(next=escape(next), focus=each) for form, each in zip(forms, focus, strict=True)
    )
    alert = f'<p role="alert">{escape(error)}</p>\n' if error else ""
    page = _PAGE.format(style=_STYLE, error=alert, forms=shown)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(page, status, headers)


def onward_page(location: str) -> HTMLResponse:
    """A page that at once goes to `location` of this site.

    After a link on another site the browser holds back our cookie; it sends it from here.
    """
    to = escape(location)
    page = f'<!doctype html><title>longtake</title><a href="{to}">Go on to longtake</a>\n'
    headers = {
        "Refresh": f"0; url={location}",
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "no-store",
    }
    return HTMLResponse(page, 200, headers)
