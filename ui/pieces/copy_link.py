"""A button that copies a link: the address that the browser shows, or this page's with a query.

The address is known to the browser only: behind a proxy, the server does not know its own.
"""

import streamlit as st

HTML = """<button type="button"><svg viewBox="0 0 24 24" aria-hidden="true"><path
d="M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.2 1.2M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7
5.7l1.2-1.2"/></svg><span>Copy link</span></button>
<div class="told"><output role="status"></output><input readonly aria-label="the link"></div>"""

CSS = """
:host { display: block; }
div.box { position: relative; font: inherit; }
button {
  display: inline-flex; align-items: center; gap: 0.35rem; min-height: 2rem;
  padding: 0.15rem 0.6rem; white-space: nowrap; cursor: pointer;
  font: 0.875rem/1.3 var(--st-font); color: var(--st-text-color);
  background: var(--st-background-color); border-radius: var(--st-button-radius, 0.5rem);
  border: 1px solid color-mix(in srgb, var(--st-text-color) 30%, transparent);
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible, input:focus-visible {
  outline: 2px solid var(--st-primary-color); outline-offset: 1px;
}
svg { width: 1.1em; height: 1.1em; fill: none; stroke: currentColor; stroke-width: 2; }
.told { display: none; font: 0.8125rem/1.4 var(--st-font); color: var(--st-text-color); }
.told.shown {
  display: grid; gap: 0.35rem; margin-top: 0.35rem; padding: 0.5rem 0.7rem;
  background: var(--st-background-color); border-radius: 0.5rem;
  border: 1px solid color-mix(in srgb, var(--st-text-color) 30%, transparent);
}
.over .told.shown {
  position: absolute; top: 100%; right: 0; width: min(26rem, 80vw); box-sizing: border-box;
  box-shadow: 0 4px 16px #0003;
}
input {
  width: 100%; box-sizing: border-box; padding: 0.3rem 0.4rem; border-radius: 0.25rem;
  font: inherit; color: inherit; background: var(--st-secondary-background-color);
  border: 1px solid color-mix(in srgb, var(--st-text-color) 30%, transparent);
}
@media (max-width: 640px) {
  .over button span {
    position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  }
}
"""

# navigator.clipboard is missing where the address is http and not this machine's, and a browser may
# refuse it: then the link is shown selected, so that it takes one key to copy it.
JS = """
const SECONDS = 6;
export default function ({ parentElement, data }) {
  const host = parentElement, find = what => host.querySelector(what);
  const told = find(".told"), said = find("output"), field = find("input");
  find(".told").parentElement.classList.toggle("over", data.query === null);
  const link = () => data.query === null
    ? location.href : `${location.origin}${location.pathname}${data.query && "?"}${data.query}`;
  const hide = () => { told.classList.remove("shown"); said.textContent = ""; };
  const tell = words => {
    field.value = link();
    told.classList.add("shown");
    said.textContent = words;
    clearTimeout(host.timer);
  };
  find("button").onclick = async () => {
    try {
      await navigator.clipboard.writeText(link());
      tell("Copied. It opens this page with these settings:");
      if (data.query === null) host.timer = setTimeout(hide, 1000 * SECONDS);
    } catch {
      tell("This browser lets no page copy. Press Ctrl+C, or Command+C:");
      field.focus();
      field.select();
    }
  };
  host.onkeydown = event => {
    if (event.key === "Escape" && data.query === null) { hide(); find("button").focus(); }
  };
  if (data.query !== null) tell("");
}
"""

_button = st.components.v2.component(
    "copy_link", html=f'<div class="box">{HTML}</div>', css=CSS, js=JS
)


def copy_link(key: str, query: str | None = None) -> None:
    """Draw the button; it says what it has copied, and where it cannot copy shows the link.

    Args:
      key: of the element.
      query: what follows the question mark, in the form of a URL; None for the address shown.
    """
    _button(key=key, data={"query": query})
