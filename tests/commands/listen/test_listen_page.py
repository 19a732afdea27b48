"""The page of `musiccli listen` in a real browser: a song is dropped, its table appears, its sound plays."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import soundfile

from musicgen_cls import untrained
from musicgen_cls.commands.listen.answer import Limits
from musicgen_cls.commands.listen.models import choices
from musicgen_cls.commands.listen.page import POLICY, Application
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import read_midi, write_midi
from musicgen_cls.synth.render import render

PLAYS = """async () => {
    const sound = document.querySelector("#answer audio.sound");
    sound.muted = true;
    await sound.play();
    await new Promise(done => { sound.ontimeupdate = () => sound.currentTime > 0.3 && done(); });
    sound.pause();
    await new Promise(done => setTimeout(done, 100));
    return [sound.currentTime / sound.duration,
            ...[...document.querySelectorAll("#answer .cursor")].map(cursor => parseFloat(cursor.style.left) / 100)];
}"""

PLAYERS = "[...document.querySelectorAll('.continued audio')]"

BLOCKED = """() => new Promise(done => {
    document.addEventListener("securitypolicyviolation", event => done(event.blockedURI));
    fetch("http://192.0.2.1/").catch(() => {});
})"""


@dataclass
class Opened:
    """The page in a browser, what it requested, its faults, and the folder of the server."""

    page: Any
    folder: Path
    address: str
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def application(trained: Path, generator: Path, notes_generator: Path) -> Iterator[Application]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrained, "checkpoint", lambda *_: trained)
        checkpoints = [str(trained), str(generator), str(notes_generator)]
        made = Application(choices(checkpoints, threshold=0.0), Limits(max_mb=1, max_minutes=0.2))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made.blocks.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **made.options)
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(browser: Any, application: Application) -> Iterator[Opened]:
    page = browser.new_page()
    found = Opened(page, application.folder, application.blocks.local_url)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("pageerror", lambda error: found.faults.append(str(error)))
    page.goto(found.address)
    page.wait_for_selector("#drop input[type=file]", state="attached")
    yield found
    page.close()


def dropped(opened: Opened, path: Path, wanted: str) -> str:
    """The text of the answer to a dropped file, once an element is there; each file needs a name of its own."""
    opened.page.set_input_files("#drop input[type=file]", str(path))
    opened.page.wait_for_selector(f"#answer {wanted}:has-text('{path.name}')")
    text: str = opened.page.inner_text("#answer")
    return text


def test_a_song_has_a_table_and_its_sound_moves_the_cursor(opened: Opened, music: Path) -> None:
    text = dropped(opened, music / "jazz" / "2.ogg", ".answer")
    rows = opened.page.locator("#answer .genres tbody tr")
    assert sorted(row.split()[0] for row in rows.all_inner_texts()) == ["blues", "jazz", "metal"]
    assert opened.page.locator("#answer h2").inner_text().split()[0] in ("blues", "jazz", "metal")
    assert "2.ogg" in text
    assert opened.page.evaluate("document.querySelector('#answer img').naturalWidth") > 100
    played, *cursors = opened.page.evaluate(PLAYS)
    assert 0 < played < 1
    assert cursors == pytest.approx([played, played], abs=0.02)
    assert "%" in opened.page.inner_text("#answer .now")


def test_a_click_on_the_spectrogram_sets_the_position(opened: Opened, music: Path) -> None:
    dropped(opened, music / "jazz" / "3.mp3", ".answer")
    opened.page.wait_for_function("document.querySelector('#answer audio').duration > 0")
    opened.page.locator("#answer .strip.mel").click()
    share = "(a => a.currentTime / a.duration)(document.querySelector('#answer audio'))"
    opened.page.wait_for_function(f"{share} > 0.1")
    assert opened.page.evaluate(share) == pytest.approx(0.5, abs=0.02)


def test_another_network_answers(opened: Opened, music: Path) -> None:
    dropped(opened, music / "jazz" / "1.flac", ".answer")
    opened.page.locator("#model input").focus()  # by keyboard
    opened.page.wait_for_selector("[role=option]")
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#answer .faint:has-text('untrained')")


def test_faults_are_one_line(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert dropped(opened, tmp_path / "notes.txt", ".message").startswith("notes.txt: not audio")
    soundfile.write(tmp_path / "long.wav", render("jazz", 0, seconds=13.0, sample_rate=8000), 8000)
    assert dropped(opened, tmp_path / "long.wav", ".message").startswith("long.wav: longer than 0.2 minutes;")
    (tmp_path / "large.wav").write_bytes(bytes(1_100_000))
    opened.page.set_input_files("#drop input[type=file]", str(tmp_path / "large.wav"))
    opened.page.wait_for_selector("text=exceed the maximum allowed size")


def test_a_generator_continues_the_song(opened: Opened, songs: Path) -> None:
    opened.page.reload()
    opened.page.wait_for_selector("#drop input[type=file]", state="attached")
    dropped(opened, songs / "metal" / "1.wav", ".answer")
    opened.page.get_by_role("button", name="Continue", exact=True).click()
    opened.page.wait_for_selector(".continued")
    opened.page.wait_for_function(f"{PLAYERS}.every(sound => sound.duration > 0)")
    assert opened.page.evaluate(f"{PLAYERS}.map(sound => sound.duration)") == pytest.approx([0.5, 10.0], abs=0.01)


def test_a_generator_of_notes_continues_a_score(opened: Opened, tmp_path: Path) -> None:
    write_midi(compose("jazz", 9, seconds=8.0), tmp_path / "tune.mid")
    assert "a generator of notes can continue it" in dropped(opened, tmp_path / "tune.mid", ".message")
    opened.page.get_by_label("Generator", exact=True).click()
    opened.page.get_by_role("option", name="notes.ckpt").click()
    opened.page.get_by_role("button", name="Continue", exact=True).click()
    opened.page.wait_for_selector(".continued:has-text('tune.mid') a[download]")
    opened.page.wait_for_function(f"{PLAYERS}.every(sound => sound.duration > 0)")
    prompt, whole = opened.page.evaluate(f"{PLAYERS}.map(sound => sound.duration)")
    assert prompt < whole == pytest.approx(10.0, abs=3.0)  # the last notes sound on
    assert opened.page.evaluate("document.querySelector('.continued img[alt^=\"piano roll\"]').naturalWidth") > 100
    with opened.page.expect_download() as download:
        opened.page.click(".continued a[download]")
    assert len(read_midi(download.value.path().rename(tmp_path / "continued.mid"))) > 10


def test_the_mistakes_of_a_report_play_and_arrows_choose(opened: Opened) -> None:
    opened.page.get_by_role("tab", name="Tracks of a test").click()
    tracks = opened.page.locator("#tracks input")
    assert opened.page.locator("#tracks label").first.inner_text().startswith("✗ ")
    for number, key in enumerate(("Space", "ArrowDown")):
        tracks.nth(0).focus() if number == 0 else None
        opened.page.keyboard.press(key)
        assert tracks.nth(number).is_checked()
        opened.page.wait_for_selector(f"#answer .answer:has-text('{tracks.nth(number).get_attribute('value')}')")
    assert opened.page.evaluate(PLAYS)[0] > 0


def test_no_request_leaves_this_machine(opened: Opened) -> None:
    asked = {urlsplit(url).netloc for url in opened.requests if not url.startswith(("data:", "blob:"))}
    assert asked == {urlsplit(opened.address).netloc}
    assert any("/gradio_api/file=" in url for url in opened.requests)
    response = opened.page.request.get(opened.address)
    assert response.headers["content-security-policy"] == POLICY
    assert opened.page.evaluate(BLOCKED) == "http://192.0.2.1/"  # the browser follows the policy
    assert opened.faults == []


def test_a_closed_page_leaves_no_song(opened: Opened, browser: Any, music: Path) -> None:
    sessions = opened.folder / "sessions"
    before = set(sessions.iterdir())
    other = Opened(browser.new_page(), opened.folder, opened.address)
    other.page.goto(other.address)
    other.page.wait_for_selector("#drop input[type=file]", state="attached")
    dropped(other, music / "metal" / "0.wav", ".answer")
    (own,) = set(sessions.iterdir()) - before
    assert {path.suffix for path in own.rglob("*.*")} == {".wav", ".flac"}
    other.page.close()
    for _ in range(100):
        if not own.exists():
            break
        opened.page.wait_for_timeout(100)
    assert not own.exists()
    uploads = [path for path in (opened.folder / "uploads").rglob("*") if path.is_file() and path.stat().st_size]
    assert not uploads
