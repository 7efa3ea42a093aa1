"""The page of a preview in a real browser: colours, toggles, what hovering tells, hostile text, 20,000 tokens."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from family_tokenizers import CHATML, small_tokenizer, trl_template
from hostile_round import hostile_round
from threadmill.training.improve.page import render_page as render_report
from threadmill.training.improve.report import make_report
from threadmill.training.look.page import render_page
from threadmill.training.look.pieces import Piece, Sheet
from threadmill.training.look.texts import TokenTexts

SCRIPT = "</script><script>document.title='gone'</script><img src=x onerror=alert(1)>"
HOSTILE = f"{SCRIPT} & \u202egnp.exe\u202c \x00\x1b[2J"
RIGHT_TO_LEFT, EMOJI = "שלום עולם", "👩‍👩‍👧"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window that has no network."""
    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("there is no Chromium with its chromedriver on this machine to open the page in")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = binary
    still = (
        "force-device-scale-factor=1 no-first-run disable-background-networking disable-component-update disable-sync "
        "disable-quic disable-gpu"
    )
    folder = tmp_path_factory.mktemp("profile")
    for name in ("headless=new", "no-sandbox", "window-size=1200,900", f"user-data-dir={folder}", *still.split()):
        options.add_argument(f"--{name}")
    options.add_argument("--proxy-server=127.0.0.1:9")  # whatever it fetches fails, and is in the log
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = Chrome(options=options, service=ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Qwen's tokens, and one that is hostile as a whole."""
    return small_tokenizer(trl_template("qwen3"), CHATML, eos="<|im_end|>", added=(SCRIPT,))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A conversation with every kind of token."""

    def piece(kind: Any, role: str, text: str, *, logprob: float | None = None, opens: bool = False) -> Piece:
        ids = tuple(tokenizer(text)["input_ids"])
        return Piece(kind, role, ids, () if logprob is None else (logprob,) * len(ids), "a.think@0001", "m1", opens)

    talk = (
        piece("context", "user", f"<|im_start|>user\n{HOSTILE}{RIGHT_TO_LEFT}{EMOJI}<|im_end|>\n", opens=True),
        piece("context", "assistant", "<|im_start|>assistant\n", opens=True),
        piece("rejected", "assistant", "stop", logprob=-3.0),
        piece("human", "assistant", "look<|im_end|>"),
        piece("tool", "tool", HOSTILE, opens=True),
        piece("sampled", "assistant", "yes", logprob=-0.01, opens=True),
        piece("sampled", "assistant", "no<|im_end|>", logprob=-5.0),
        piece("masked", "assistant", "maybe", logprob=-0.5, opens=True),
    )
    sheet = Sheet(f"row 1 {HOSTILE}", talk, {"why": HOSTILE + "\ud800"}, note=HOSTILE)
    file = tmp_path_factory.mktemp("page") / "preview.html"
    file.write_text(render_page(f"Threadmill {HOSTILE}", [sheet], TokenTexts(tokenizer)), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.get(page.as_uri())
    browser.execute_script("document.documentElement.dataset.scheme = 'light'")
    return browser


def style(opened: Any, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    return opened.execute_script(script, selector, name)


def severe(opened: Any) -> list[str]:
    return [entry["message"] for entry in opened.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_screenshot_has_the_colours_of_what_is_trained(opened: Any) -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(opened.get_screenshot_as_png())).convert("RGB")
    assert len(image.getcolors(1_000_000) or []) > 50
    back = {"sampled": (220, 243, 228), "human": (244, 228, 250), "tool": (252, 241, 220), "rejected": (252, 232, 230)}
    for kind, colour in back.items():
        box = opened.find_element("css selector", f"section .{kind}.k i").rect
        x, y, width, height = (round(box[name]) for name in ("x", "y", "width", "height"))
        seen = image.crop((x, y, x + width, y + height)).getcolors(10_000) or []
        assert max(seen)[1] == colour, kind
    assert severe(opened) == []


def test_the_buttons_colour_logprobs_hide_special_tokens_and_change_the_scheme(opened: Any) -> None:
    sure, surprised = "section .sampled.k i.q0", "section .sampled.k i.q7"
    assert style(opened, surprised, "backgroundColor") == "rgba(0, 0, 0, 0)"
    opened.find_element("id", "logprobs").click()
    assert style(opened, surprised, "backgroundColor") != style(opened, sure, "backgroundColor")
    assert style(opened, ".scale", "display") == "flex"
    assert style(opened, ".s", "display") == "inline"
    opened.find_element("id", "special").click()
    assert style(opened, ".s", "display") == "none"
    pressed = {name: opened.find_element("id", name).get_attribute("aria-pressed") for name in ("logprobs", "special")}
    assert pressed == {"logprobs": "true", "special": "false"}
    assert style(opened, "body", "backgroundColor") == "rgb(250, 249, 247)"
    opened.find_element("id", "scheme").click()
    assert style(opened, "body", "backgroundColor") == "rgb(20, 22, 26)"
    assert severe(opened) == []


def test_a_token_tells_its_id_logprob_and_version(opened: Any, tokenizer: Any) -> None:
    from selenium.webdriver import ActionChains

    token = opened.find_element("css selector", "section .sampled.k i")
    ActionChains(opened).move_to_element(token).perform()
    lines = opened.find_element("id", "about").text.splitlines()
    assert lines[1] == f"token {tokenizer('yes')['input_ids'][0]}"
    assert "logprob -0.01 (99.0 %)" in lines
    assert "version a.think@0001" in lines
    assert lines[-1] == "by the model, trained"


def test_hostile_text_stays_text(opened: Any) -> None:
    assert opened.title.startswith("Threadmill </script><script>")
    assert opened.execute_script("return document.querySelectorAll('script, img').length") == 1
    told = opened.execute_script("return document.querySelector('section .text').textContent")
    assert f"{SCRIPT} & 202Egnp.exe202C 001B[2J" in told
    assert RIGHT_TO_LEFT in told
    assert EMOJI in told
    assert severe(opened) == []


def test_the_page_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count("<script") == 1
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


def test_twenty_thousand_tokens_are_walked_to(browser: Any, tokenizer: Any, tmp_path: Path) -> None:
    word = tokenizer("a")["input_ids"][0]
    kinds: tuple[Any, ...] = ("context", "sampled") * 20
    long = tuple(Piece(kind, "user", (word,) * 500, opens=True) for kind in kinds)
    sheets = [Sheet("row 1", long[:2]), Sheet("row 2", long)]
    file = tmp_path / "long.html"
    file.write_text(render_page("A title " * 60, sheets, TokenTexts(tokenizer)), encoding="utf-8")
    browser.get(file.as_uri())
    assert browser.execute_script("return document.querySelectorAll('#s1 i[t]').length") == 20_000
    browser.find_element("id", "after").click()
    assert browser.find_element("css selector", "nav a[aria-current]").text.startswith("row 2")
    top = browser.execute_script("return document.querySelector('#s1').getBoundingClientRect().top")
    line = browser.execute_script("return document.querySelector('header').getBoundingClientRect().bottom")
    assert line <= top < line + 60
    assert severe(browser) == []


def test_a_report_of_improve_is_read_on_a_telephone_and_runs_nothing(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    report = make_report(hostile_round(), out=Path("out"), db="sqlite:///runs.db")
    file.write_text(render_report(report), encoding="utf-8")
    browser.set_window_size(390, 844)
    try:
        browser.get(file.as_uri())
        width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        drawn = browser.execute_script("return document.querySelector('img').naturalWidth")
        titles = [title.text for title in browser.find_elements("css selector", "h2")]
    finally:
        browser.set_window_size(1200, 900)
    assert width[0] <= width[1]
    assert drawn > 0
    assert titles[:3] == ["Verdict", "Evaluation", "Failures"]
    assert browser.execute_script("return document.querySelectorAll('script').length") == 0
    assert severe(browser) == []
