"""What everyone can use: names of controls, landmarks, contrast and keyboard of a page.

Each function returns what is wrong, so that a test shows all of it; an empty list is right.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["low_contrast", "missing_landmarks", "nameless", "unseen_focus"]

LEAST_CONTRAST = 4.5
"""Of text against its ground: level AA of WCAG 2."""


def nameless(page: "Page") -> list[str]:
    """Return controls, pictures and regions that a screen reader has no name for."""
    found: list[str] = page.evaluate(_NAMELESS)
    return found


def missing_landmarks(page: "Page") -> list[str]:
    """Return what the page lacks of landmarks, headings in order, language and title."""
    found: list[str] = page.evaluate(_LANDMARKS)
    return found


def low_contrast(page: "Page") -> list[str]:
    """Return texts, those in pictures included, whose contrast is too low."""
    found: list[str] = page.evaluate(_CONTRAST, LEAST_CONTRAST)
    return found


def unseen_focus(page: "Page", most: int = 200) -> tuple[list[str], list[str]]:
    """Press Tab through the page.

    Returns:
        What was reached, and which of it does not show that it has the focus.
    """
    reached: list[str] = []
    unseen: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(_FOCUS)
        if not name:
            break
        reached.append(name)
        if not outlined:
            unseen.append(name)
    return reached, unseen


_NAMELESS = """() => [...document.querySelectorAll(
    'a, button, input, select, summary, section, nav, [role=img], [role=region], [role=group]')]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const by = (node.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent || '').join('');
    // The others are named by their content, tabs among them.
    const alone = 'section, nav, [role=img], [role=region], [role=group]';
    return !(node.getAttribute('aria-label') || by.trim() || (node.labels && node.labels.length)
      || (!node.matches(alone) && node.textContent.trim()));
  })
  .map((node) => node.outerHTML.slice(0, 100))"""

_LANDMARKS = """() => {
  const wrong = [];
  const one = (selector) => {
    const count = document.querySelectorAll(selector).length;
    if (count !== 1) wrong.push(`${count} of ${selector}`);
  };
  ['body > header', 'main', 'body > footer', 'h1', 'title', 'html[lang]'].forEach(one);
  one('meta[name=viewport]');
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  wrong.push(...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `id ${id} twice`));
  const levels = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
    .map((node) => +node.tagName[1]);
  levels.forEach((level, place) => {
    if (place && level > levels[place - 1] + 1) wrong.push(`h${level} after h${levels[place - 1]}`);
  });
  return wrong;
}"""

# By the formula of WCAG 2; colours are painted, so that every notation of CSS is understood.
_CONTRAST = """(least) => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found[3] > 250) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll('body *')) {
    const words = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!words || !node.checkVisibility()) continue;
    if (node.matches('script, noscript *, option, :disabled')) continue;
    const style = getComputedStyle(node);
    const colour = node instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [light(channels(colour)), light(ground(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < least) low.push(`${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""

_FOCUS = """() => {
  const node = document.activeElement;
  if (!node || node === document.body) return ['', true];
  const name = node.getAttribute('aria-label') || node.name || node.textContent.trim()
    || node.tagName;
  return [name, getComputedStyle(node).outlineStyle !== 'none'];
}"""
