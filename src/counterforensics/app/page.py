"""The page itself: what it shows, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from counterforensics import manipulations
from counterforensics.app import views
from counterforensics.app.clients import Clients
from counterforensics.app.uploads import MOST_MEGABYTES, MOST_PIXELS, open_upload
from counterforensics.app.work import StoppableWork
from counterforensics.detectors import zoo
from counterforensics.errors import CounterforensicsError
from counterforensics.pixels import Pixels
from counterforensics.sliding.attacking import AttackedPhoto, attack_photo, write_png
from counterforensics.sliding.concealing import Region
from counterforensics.sliding.detecting import JudgedPhotograph, judge, select

Result = TypeVar("Result")

THEME = gr.themes.Base(
    primary_hue="orange", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], radius_size="sm"
)
# What the page offers; the text fields take every other text form, too.
ATTACKS = ("spam-descent", "spam-gradient", "pgd:epsilon=1", "fgsm", "deepfool", "jsma")
FIRST_TARGET = "cozzolino2017/median:7"
NOTHING = ""
INTRODUCTION = (
    f"# One photograph\nWhich traces of manipulation does it show, where, and can an attack hide them? At most "
    f"{MOST_MEGABYTES} MB and {MOST_PIXELS // 10**6} megapixels. Nothing leaves this computer, and nothing is kept "
    "once you close the page."
)


class Actions:
    """What the buttons do for one client after the other."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients

    def receive(self, upload: str | None, request: gr.Request) -> tuple[str, str]:
        """A new photograph: its preview, and a line if it cannot be used."""
        if upload is None:
            return NOTHING, NOTHING
        self.clients.received(_session(request), Path(upload))
        try:
            return views.preview(open_upload(upload)), NOTHING
        except CounterforensicsError as error:
            return NOTHING, views.status(str(error), wrong=True)

    def detect(
        self, upload: str | None, detectors: Sequence[str], asked: Sequence[str], request: gr.Request
    ) -> Iterator[tuple[str, str, str]]:
        """How it goes, the table of findings, and the maps."""

        def work(say: Callable[[str], None]) -> tuple[JudgedPhotograph, Pixels]:
            photo = open_upload(upload)
            named = select(detectors or (), asked or ())
            answered = iter(range(1, len(named) + 1))
            say(f"asking {len(named)} detectors")
            judged = judge(photo, named, done=lambda: say(f"{next(answered)} of {len(named)} detectors have answered"))
            return judged, photo.pixels

        found: list[tuple[JudgedPhotograph, Pixels]] = []
        for line in self._progress(work, request, found):
            yield line, NOTHING, NOTHING
        for judged, photo in found:
            yield views.status("Every detector has answered."), views.findings(judged), views.maps(judged, photo)

    def attack(
        self, upload: str | None, target: str, attack: str, manipulate: str | None, region: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """How it goes, before and after, the difference, the figures, and the file."""

        def work(say: Callable[[str], None]) -> AttackedPhoto:
            return attack_photo(
                open_upload(upload).pixels,
                detector=target or "",
                attack=attack or "",
                manipulate=manipulate or None,
                region=Region.read(region, "The region") if region.strip() else None,
                say=say,
            )

        found: list[AttackedPhoto] = []
        for line in self._progress(work, request, found):
            yield line, gr.ImageSlider(visible=False), NOTHING, NOTHING, gr.DownloadButton(visible=False)
        for result in found:
            before, after, file = self._written(result, Path(upload or "").stem, _session(request))
            slider = gr.ImageSlider((before, after), visible=True)
            figures, changes = views.attacked(result), views.difference(result)
            button = gr.DownloadButton(value=file, visible=True)
            yield views.status("The attack has ended."), slider, changes, figures, button

    def _written(self, result: AttackedPhoto, stem: str, session: str) -> tuple[str, str, str]:
        """The files before, after (both as large as a screen shows) and to download."""
        pictures = {
            "before.png": views.shrunk(result.manipulated),
            "after.png": views.shrunk(result.concealed.photo),
            f"{stem}-concealed.png": result.concealed.photo,
        }
        places = [self.clients.place(session, name) for name in pictures]
        for place, pixels in zip(places, pictures.values(), strict=True):
            write_png(pixels, place)
        before, after, file = map(str, places)
        return before, after, file

    def stop(self, request: gr.Request) -> None:
        """End the work of this client at the next detector or sweep."""
        self.clients.stop(_session(request))

    def leave(self, request: gr.Request) -> None:
        """A client closed the page."""
        self.clients.leave(_session(request))

    def _progress(
        self, work: Callable[[Callable[[str], None]], Result], request: gr.Request, found: list[Result]
    ) -> Iterator[str]:
        """Do the work, and yield a line now and then; what it returns goes into `found`, an error into a last line."""
        job = StoppableWork(work, self.clients.begin(_session(request)))
        for line in job.lines():
            yield views.status(f"{line} ...")
        try:
            found.append(job.result())
        except CounterforensicsError as error:
            yield views.status(str(error), wrong=True)


def build(clients: Clients) -> gr.Blocks:
    """The page, whose files and work belong to `clients`."""
    actions = Actions(clients)
    with gr.Blocks(
        title="One photograph - counterforensics", analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(label="Photograph", type="filepath", elem_id="upload", height=150)
                trouble, preview = _html("trouble"), _html("preview")
            with gr.Column(scale=2, min_width=300):
                with gr.Tab("Detect"):
                    _detecting(actions, upload)
                with gr.Tab("Hide traces"):
                    _attacking(actions, upload)
        upload.change(
            actions.receive,
            upload,
            [preview, trouble],
            concurrency_id="preview",
            show_progress="hidden",
            api_name="look",
        )
        page.unload(actions.leave)
    return page


def _detecting(actions: Actions, upload: gr.File) -> None:
    families = sorted({name.split("/")[0] for name in zoo.shipped()})
    detectors = gr.Dropdown(families, multiselect=True, label="Detectors (none: all)", elem_id="detectors")
    asked = gr.Dropdown(
        list(manipulations.PAPER), multiselect=True, label="Manipulations to look for (none: all)", elem_id="asked"
    )
    start = _start_and_stop(actions, "Detect", "detect")
    status = _html("detect-status")
    shown = [status, _html("findings"), _html("maps")]
    start.click(
        actions.detect,
        [upload, detectors, asked],
        shown,
        concurrency_limit=1,
        concurrency_id="work",
        show_progress="minimal",
        show_progress_on=status,
        api_name="detect",
    )


def _attack_fields() -> list[gr.components.Component]:
    """The target, the attack, the manipulation and the region; the first sets the next two to what suits it."""
    with gr.Row():
        target = gr.Dropdown(
            zoo.shipped(), value=FIRST_TARGET, label="Hide from this detector", elem_id="target", min_width=220
        )
        attack = gr.Dropdown(
            list(ATTACKS),
            value=_attack_on(FIRST_TARGET),
            label="Attack",
            allow_custom_value=True,
            elem_id="attack-name",
        )
    with gr.Row():
        manipulate = gr.Dropdown(
            [("nothing", ""), *((name, name) for name in manipulations.PAPER)],
            value=_question_of(FIRST_TARGET),
            label="Manipulate the photograph first",
            allow_custom_value=True,
            elem_id="manipulate",
            min_width=220,
        )
        region = gr.Textbox(
            label="Only in a region: left,top,width,height", placeholder="everywhere", elem_id="region", min_width=220
        )
    target.change(
        lambda name: (_attack_on(name), _question_of(name)),
        target,
        [attack, manipulate],
        queue=False,
        api_visibility="private",
    )
    return [target, attack, manipulate, region]


def _attacking(actions: Actions, upload: gr.File) -> None:
    fields = _attack_fields()
    start = _start_and_stop(actions, "Hide traces", "attack")
    status = _html("attack-status")
    slider = gr.ImageSlider(
        label="Before the attack, and after", visible=False, interactive=False, elem_id="slider", buttons=["fullscreen"]
    )
    download = gr.DownloadButton("Download the photograph (PNG)", visible=False, elem_id="download")
    figures, changes = _html("figures"), _html("difference")
    start.click(
        actions.attack,
        [upload, *fields],
        [status, slider, changes, figures, download],
        concurrency_limit=1,
        concurrency_id="work",
        show_progress="minimal",
        show_progress_on=status,
        api_name="attack",
    )


def _start_and_stop(actions: Actions, label: str, name: str) -> gr.Button:
    """A button that starts work, beside one that stops whatever this client started; the first is returned."""
    with gr.Row():
        start = gr.Button(label, variant="primary", scale=4, min_width=160, elem_id=name)
        stop = gr.Button("Stop", scale=1, min_width=80, elem_id=f"{name}-stop")
    stop.click(actions.stop, queue=False, show_progress="hidden", api_visibility="private")
    return start


def _html(name: str) -> gr.HTML:
    return gr.HTML(elem_id=name, padding=False)


def _attack_on(target: str) -> str:
    """The attack that suits a target: `spam-descent` for one on SPAM features alone, which has no gradients."""
    return "spam-descent" if target.startswith("spam-svm/") else "pgd:epsilon=1"


def _question_of(target: str) -> str:
    """The manipulation that a shipped detector looks for."""
    return target.split("/")[-1]


def _session(request: gr.Request) -> str:
    return request.session_hash or ""
