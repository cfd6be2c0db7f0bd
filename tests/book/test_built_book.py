"""The built book as a reader meets it: from a web server and from a folder, offline, in light and dark."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml

from autograder.book import assets
from autograder.book.extension import repository

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "chapters/03-attention/03-attention"
READ = (
    "book/index",
    "book/how-to-use",
    CHAPTER,
    "book/ecosystem",
    "book/measured",
    "book/glossary",
    "book/bibliography",
    "book/api/index",
    "book/api/attention",
)
WAYS = ("http", "file")
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"

CONTRAST = """
() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      c /= 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.alpha > 0.99) return colour.rgb;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor).rgb;
  };
  const worst = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || element.closest("svg, mjx-container, script, style")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color).rgb), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const said = walker.currentNode.textContent.trim().slice(0, 40);
    worst.push([ratio, element.tagName + "." + element.className + ": " + said]);
  }
  worst.sort((x, y) => x[0] - y[0]);
  return worst;
}
"""


def address(built: Path, served: str, way: str, page: str) -> str:
    base = served if way == "http" else built.as_uri()
    return f"{base}/{page}.html"


class Reader:
    """A page in a fresh browser that may not leave, and what it complained of."""

    def __init__(self, chromium, served, **options):
        self.context = chromium.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(600_000)  # so that only what never comes fails, on a busy machine too
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.served = served
        self.context.route("**/*", self._guard)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("response", self._response)

    def _guard(self, route):
        url = route.request.url
        if url.startswith((f"{self.served}/", "file:///", "data:", "blob:")):
            route.continue_()
        else:
            self.strangers.append(url)
            route.abort()

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _response(self, response):
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def open(self, url):
        self.page.goto(url)
        self.page.wait_for_load_state("networkidle")
        return self.page


@pytest.fixture
def reader(chromium, served):
    opened = []

    def start(**options):
        opened.append(Reader(chromium, served, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.context.close()


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids: set[str] = set()
        self.found: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if tag == "a" and name == "href" and value:
                self.found.append(value)
            loads = (tag in ("script", "img", "source", "iframe") and name == "src") or (
                tag == "link" and name == "href" and ("rel", "canonical") not in attributes
            )
            if loads and value:
                self.loaded.append(value)


@pytest.fixture(scope="session")
def documents(built):
    return {path: Links(path.read_text("utf-8")) for path in built.rglob("*.html")}


def test_every_page_of_the_table_of_contents_is_there(built):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [toc["root"]]
    for part in toc["parts"]:
        for entry in part["chapters"]:
            files += [entry["file"], *(section["file"] for section in entry.get("sections", []))]
    missing = [file for file in files if not (built / f"{file.removesuffix('.ipynb')}.html").is_file()]
    assert not missing
    assert (built / "index.html").is_file()


def test_no_link_inside_the_book_is_dead(built, documents):
    dead = []
    for path, links in documents.items():
        for target in links.found:
            if re.match(r"[a-z]+:", target):
                continue
            file, fragment = urldefrag(target)
            aim = (path.parent / unquote(file)).resolve() if file else path
            there = aim.is_file()
            if there and fragment and aim.suffix == ".html":
                there = unquote(fragment) in documents[aim].ids
            if not there:
                dead.append(f"{path.relative_to(built)} -> {target}")
    assert not dead


def test_no_page_names_a_file_elsewhere_to_load(built, documents):
    elsewhere = {
        f"{path.relative_to(built)}: {target}"
        for path, links in documents.items()
        for target in links.loaded
        if re.match(r"(https?:)?//", target)
    }
    assert not elsewhere


def test_what_is_shipped_has_its_licence_beside_it(built):
    for package in assets.packages(ROOT):
        if package.to:
            assert (built / "_static" / "vendor" / package.to / "LICENSE").is_file(), package.name


def test_the_page_shows_the_outputs_of_the_executed_solution(built):
    """Searched for in the page as text, so that it does not matter how they are marked up."""
    solution = json.loads((ROOT / "solutions" / f"{CHAPTER.partition('/')[2]}.ipynb").read_text("utf-8"))
    page = re.sub(r"\s+", "", _plain((built / f"{CHAPTER}.html").read_text("utf-8")))
    printed = [
        re.sub(r"\s+", "", "".join(output["text"]))
        for cell in solution["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        if output["output_type"] == "stream"
    ]
    assert len(printed) > 3
    assert [text for text in printed if text not in page] == []


def test_the_chapter_and_the_reference_lead_to_each_other(built):
    chapter = (built / f"{CHAPTER}.html").read_text("utf-8")
    reference = (built / "book/api/attention.html").read_text("utf-8")
    assert "api/attention.html#llmlib-attention-causal-mask" in chapter
    assert "03-attention.html#exercise-attention-causal-mask" in reference


def test_the_launch_button_opens_the_learners_notebook(built):
    """Colab takes the path from the repository's root; the address has one place, pyproject.toml."""
    owner = repository(ROOT).removeprefix("https://github.com/")
    wanted = f"https://colab.research.google.com/github/{owner}/blob/main/{CHAPTER}.ipynb"
    assert wanted in (built / f"{CHAPTER}.html").read_text("utf-8")
    assert (ROOT / f"{CHAPTER}.ipynb").is_file()


def _plain(text: str) -> str:
    parser = html.parser.HTMLParser(convert_charrefs=True)
    found: list[str] = []
    parser.handle_data = found.append
    parser.feed(text)
    return "".join(found)


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("page", READ)
def test_a_page_complains_of_nothing_and_asks_no_other_host(built, served, reader, way, page):
    one = reader()
    one.open(address(built, served, way, page))
    assert one.strangers == []
    assert one.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
def test_the_front_door_leads_to_the_landing_page(built, served, reader, way):
    one = reader()
    page = one.open(address(built, served, way, "index"))
    page.wait_for_url("**/book/index.html")
    assert page.locator("h1").first.inner_text().startswith("From Tokens to GPT")


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
def test_mathematics_is_drawn(built, served, reader, way):
    one = reader()
    page = one.open(address(built, served, way, CHAPTER))
    page.wait_for_selector("mjx-container", state="attached")
    page.wait_for_function("() => MathJax.startup.promise.then(() => true)")
    # Each formula that the builder wrote (span.math, div.math) was replaced by a drawing with a size.
    formulas = page.locator(".math").count()
    assert formulas > 20
    drawn = page.evaluate(
        "[...document.querySelectorAll('.math mjx-container')]"
        ".filter(e => e.getBoundingClientRect().width > 1).length"
    )
    hidden = page.evaluate("[...document.querySelectorAll('.math')].filter(e => !e.checkVisibility()).length")
    assert drawn + hidden >= formulas
    assert page.locator("mjx-merror").count() == 0
    assert one.complaints == []
    assert one.strangers == []


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("page", ["book/ecosystem", CHAPTER])
def test_diagrams_are_drawn_and_follow_the_theme(built, served, reader, way, page):
    one = reader(color_scheme="light")
    shown = one.open(address(built, served, way, page))
    drawing = shown.locator(".course-drawing").first
    drawing.locator("svg").wait_for()
    assert drawing.get_attribute("aria-label")
    box = drawing.locator("svg").bounding_box()
    assert box["width"] > 300
    assert box["height"] > 100
    light = drawing.inner_html()
    shown.evaluate("document.documentElement.dataset.theme = 'dark'")
    drawing.and_(shown.locator('[data-drawn="dark"]')).wait_for()
    assert drawing.inner_html() != light
    assert one.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
def test_search_finds_attention(built, served, reader, way):
    one = reader()
    page = one.open(address(built, served, way, "book/index"))
    page.keyboard.press("Control+k")
    page.keyboard.type("attention")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=attention*")
    # The results come one after the other.
    hit = page.locator(f'ul.search li a[href*="{CHAPTER}.html"]').first
    hit.wait_for()
    assert one.complaints == []
    assert one.strangers == []
    hit.click()
    page.wait_for_url(f"**/{CHAPTER}.html*")


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(built, served, reader, theme):
    """WCAG's 4.5 to 1, measured on the colours that the browser computed, folded solutions opened."""
    one = reader(color_scheme=theme)
    for name in READ:
        page = one.open(address(built, served, "file", name))
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.evaluate(UNFOLD)
        measured = page.evaluate(CONTRAST)
        assert len(measured) > 10, name
        assert [pair for pair in measured if pair[0] < 4.5] == [], name
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        bright = sum(int(number) for number in re.findall(r"\d+", paper)[:3]) / 3
        assert bright < 60 if theme == "dark" else bright > 195


@pytest.mark.browser
@pytest.mark.parametrize("name", [*READ, "search"])
def test_axe_finds_nothing(built, served, reader, name):
    axe = next(package for package in assets.packages(ROOT) if package.name == "axe-core")
    try:
        script = assets.fetch(ROOT, axe) / "axe.min.js"
    except assets.AssetError as error:
        pytest.skip(f"axe-core cannot be had: {str(error).splitlines()[0]}")
    one = reader(color_scheme="dark")
    page = one.open(address(built, served, "file", name))
    page.evaluate(UNFOLD)
    page.add_script_tag(path=str(script))
    # The test above measures the colours, in both themes; axe needs twenty seconds for those of a chapter.
    found = page.evaluate(
        "colours => axe.run({rules: {'color-contrast': {enabled: colours}}})", name != CHAPTER
    )
    assert len(found["passes"]) > 10
    violations = [
        f"{violation['id']}: {violation['help']}: {node['html'][:160]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert violations == []


@pytest.mark.browser
def test_every_page_fits_a_phone(built, served, reader):
    one = reader(viewport={"width": 360, "height": 740})
    widths = {}
    for name in READ:
        page = one.open(address(built, served, "file", name))
        widths[name] = page.evaluate("document.documentElement.scrollWidth")
    too_wide = {name: width for name, width in widths.items() if width > 360}
    assert not too_wide, "something does not wrap or scroll inside itself"


@pytest.mark.browser
def test_a_solution_is_folded_and_opens_by_keyboard(built, served, reader):
    one = reader()
    page = one.open(address(built, served, "file", CHAPTER))
    first = page.locator("details.course-solution").first
    assert first.get_attribute("open") is None
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("open") is not None
    assert first.locator("pre").first.is_visible()
