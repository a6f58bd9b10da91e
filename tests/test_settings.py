"""Studies as YAML: what is filled in, and what is said about a setting that cannot be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterforensics.errors import AttackError, CounterforensicsError, NameNotFoundError, StudyError
from counterforensics.manipulations import PAPER
from counterforensics.study import planning
from counterforensics.study.estimate import estimate_study
from counterforensics.study.run import run_study
from counterforensics.study.settings import Study, load_study
from counterforensics.study.yaml_file import BUILT_IN
from tests.conftest import COZZOLINO, tiny_settings, tiny_study, write_study


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_studies_are_valid_and_named_after_themselves(name: str) -> None:
    assert load_study(name, photos=[Path("photographs")]).name == name


def test_the_demo_needs_no_photographs_and_the_paper_says_that_it_does() -> None:
    assert load_study("demo").photos.simulated is not None
    with pytest.raises(StudyError, match="study 'paper' names no photographs; give a folder with --photos DIR"):
        load_study("paper")


def test_the_paper_study_is_the_paper_s_protocol() -> None:
    study = load_study("paper", photos=[Path("photographs")])
    assert tuple(one.text for one in study.named_manipulations) == PAPER
    assert (study.split.train, study.split.test, study.patches.per_photo, study.patches.size) == (6, 3, 192, 128)


def test_a_study_with_every_default_learning_settings_is_the_same_study(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)
    (tmp_path / "again.yaml").write_text(study.as_yaml(), encoding="utf-8")
    assert load_study(str(tmp_path / "again.yaml")) == study


def test_text_forms_are_brought_to_their_shortest(tmp_path: Path) -> None:
    study = tiny_study(
        tmp_path,
        manipulations=["median:size=7", "blur:1.10"],
        detectors=["spam-svm:normalisation=sqrt", "cozzolino2017:parametrisation=product"],
        attacks=[{"attack": "fgsm:epsilon=1", "targets": ["cozzolino2017:normalisation=sqrt"]}],
    )
    assert [one.text for one in study.named_manipulations] == ["median:7", "blur:1.1"]
    assert [judge.text for judge in study.judges] == ["spam-svm", "cozzolino2017"]
    (contest,) = study.contests
    assert contest.target is not None
    assert (contest.attack.text, contest.target.text) == ("fgsm", "cozzolino2017")


def test_folders_stand_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    settings = tiny_settings(photos={"folders": ["../photographs", "/elsewhere"]})
    study = load_study(str(write_study(tmp_path / "deep" / "s.yml", settings)))
    assert study.photos.folders == (tmp_path / "deep" / "../photographs", Path("/elsewhere"))


def test_given_folders_stand_beside_the_simulated_cameras_of_a_study_that_mixes_them(tmp_path: Path) -> None:
    for folders, simulated in (([], None), (["own"], 4)):
        mixed = tiny_settings(photos={"folders": folders, "simulated": {"devices": 4, "photos": 2}})
        study = load_study(str(write_study(tmp_path / "mixed.yaml", mixed)), photos=[Path("given")])
        assert study.photos.folders == (Path("given"),)
        assert (study.photos.simulated.devices if study.photos.simulated else None) == simulated


def test_folders_on_the_command_line_replace_the_study_s_photographs(tiny_yaml: Path) -> None:
    study = load_study(str(tiny_yaml), photos=[Path("a"), Path("b")])
    assert study.photos.folders == (Path("a"), Path("b"))
    assert study.photos.simulated is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detektors": []}, "'detektors'; did you mean 'detectors'? Known: attacks, detectors, laundering,"),
        ({"split": {"tests": 3}}, "'tests'; did you mean 'test'? Known: test, train, validation"),
        (
            {"patches": {"perphoto": 3}},
            "'perphoto'; did you mean 'per_photo'? Known: attacked_per_device, attacked_photos,",
        ),
        ({"photos": {"folder": ["a"]}}, "'folder'; did you mean 'folders'? Known: folders, simulated"),
        ({"photos": {"simulated": {"devises": 3}}}, "'devises'; did you mean 'devices'? Known: devices, height"),
        ({"attacks": [{"attack": "fgsm", "target": ["x"]}]}, "'target'; did you mean 'targets'? Known: attack,"),
    ],
)
def test_an_unknown_key_is_answered_by_the_nearest_of_its_place(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NameNotFoundError) as caught:
        tiny_study(tmp_path, **changes)
    assert str(caught.value).startswith(f"unknown key in {tmp_path / 'changed.yaml'} {message}")


def test_a_misspelt_key_is_named_rather_than_the_one_it_should_be(tmp_path: Path) -> None:
    settings = tiny_settings()
    settings["detektors"] = settings.pop("detectors")
    with pytest.raises(NameNotFoundError, match="'detektors'; did you mean 'detectors'"):
        load_study(str(write_study(tmp_path / "s.yaml", settings)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manipulations": ["medain:7"]}, "unknown manipulation 'medain'; did you mean 'median'?"),
        ({"detectors": ["spamsvm"]}, "unknown detector 'spamsvm'; did you mean 'spam-svm'?"),
        ({"detectors": ["spam-svm:cost=1"]}, "unknown setting of spam-svm 'cost'; did you mean 'c'?"),
        ({"attacks": [{"attack": "fgms", "targets": [COZZOLINO]}]}, "unknown attack 'fgms'; did you mean 'fgsm'?"),
        (
            {"attacks": [{"attack": "fgsm", "targets": ["cozzolino2018"]}]},
            "unknown target of fgsm 'cozzolino2018'; did you mean 'cozzolino2017'?",
        ),
    ],
)
def test_an_unknown_part_is_answered_by_the_nearest(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NameNotFoundError) as caught:
        tiny_study(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'changed.yaml'}: {message}")


def test_an_unknown_study_is_answered_by_the_nearest() -> None:
    with pytest.raises(NameNotFoundError, match="unknown study 'dem'; did you mean 'demo'"):
        load_study("dem")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "name: a study's name has 1 to 100 letters, digits, dots, dashes and underscores"),
        ({"name": ""}, "name: a study's name has 1 to 100 letters, digits, dots, dashes and underscores"),
        ({"seeds": []}, "seeds: must hold at least 1, got 0"),
        ({"seeds": [-1]}, "seeds.0: must be at least 0, got -1"),
        ({"seeds": [1, 2, 1]}, "study: seeds names 1 twice"),
        ({"manipulations": []}, "manipulations: must hold at least 1, got 0"),
        ({"manipulations": ["median:7", "median:size=7"]}, "study: manipulations names 'median:7' twice"),
        ({"manipulations": ["median:4"]}, "median: size must be odd (3, 5, 7, ...), got 4"),
        (
            {"manipulations": ["median"]},
            "manipulation 'median' needs a value for size; write median:SIZE, such as median:7",
        ),
        ({"manipulations": ["median:x"]}, "median:size must be of type int, got 'x'"),
        ({"manipulations": ["jpeg:0"]}, "jpeg: quality must lie between 1 and 100, got 0"),
        ({"manipulations": ["jpeg:70,90"]}, "cannot read '90' in 'jpeg:70,90'; write jpeg:KEY=VALUE,KEY=VALUE"),
        ({"manipulations": ["resize:nan"]}, "resize: scale must lie between 0.05 and 10, got nan"),
        ({"manipulations": [7]}, "manipulations.0: write a text form, such as NAME or NAME:SETTING=VALUE, got 7"),
        ({"detectors": []}, "detectors: must hold at least 1, got 0"),
        ({"detectors": ["spam-svm:c=-1"]}, "spam-svm: c must lie between 1e-09 and 1e+09, got -1"),
        ({"attacks": [{"attack": "fgsm"}]}, "study: attack 'fgsm' needs targets: list one or more of the study's"),
        (
            {"attacks": [{"attack": "fgsm", "targets": [COZZOLINO] * 2}]},
            "study: attacks names 'fgsm' on cozzolino2017:",
        ),
        ({"split": {"test": 0}}, "split: test must name at least one device, or be at least 1"),
        ({"split": {"test": []}}, "split: test must name at least one device, or be at least 1"),
        ({"split": {"test": ["a", "a"]}}, "split: test names 'a' twice"),
        ({"split": {"train": 0}}, "split: train must name at least one device, or be at least 1"),
        ({"split": {"validation": 0.9}}, "split.validation: must be less than 0.9, got 0.9"),
        ({"patches": {"per_photo": 0}}, "patches.per_photo: must be at least 1, got 0"),
        ({"patches": {"per_photo": 193}}, "patches.per_photo: must be at most 192, got 193"),
        ({"patches": {"size": 16}}, "patches.size: must be at least 32, got 16"),
        ({"patches": {"channels": "grey"}}, "patches.channels: must be 'luma' or 'rgb', got 'grey'"),
        ({"photos": {"simulated": {"width": 100}}}, "photos.simulated.width: must be at least 128, got 100"),
        ({"photos": {"folders": ["~no-such-user/x"]}}, "'~no-such-user/x': there is no such user, or no home"),
    ],
)
def test_an_impossible_value_is_repeated_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        tiny_study(tmp_path, **changes)
    assert str(caught.value).removeprefix(f"{tmp_path / 'changed.yaml'}: ").startswith(message)
    assert "\n" not in str(caught.value)


# --- what a study file may hold


def refusal(path: Path, content: str) -> str:
    """The one line that a study file is refused with; it repeats little of the file."""
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CounterforensicsError) as caught:
        load_study(str(path))
    line = str(caught.value).replace(str(path), "FILE")
    assert "\n" not in line
    assert len(line) < 600
    return line


HEAD = "name: a\nphotos: {simulated: {}}\n"
UNFOLDING = "x0: &x0 lol\n" + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{UNFOLDING}name: *x9", "too large for a study: its aliases unfold to more than 20,000 keys and values"),
        ("name: &a [*a]", "too large for a study: an alias refers to a value that contains it"),
        (f"{HEAD}detectors: [{', '.join(f'spam-svm:c=0.{n}' for n in range(1, 20001))}]", "more than 20,000 keys"),
        (
            f"{HEAD}detectors: [{', '.join(f'spam-svm:c=0.{n}1' for n in range(5000))}]",
            "detectors: must hold at most 1,000",
        ),
        (f"{HEAD}detectors: [spam-svm]\nseeds: {list(range(100_000))}", "holds more than 20,000 keys and values"),
        (f"{HEAD}detectors: [spam-svm]\nseeds: {list(range(1001))}", "seeds: must hold at most 1,000, got 1001"),
        ("".join(f"key{n}: 1\n" for n in range(100_000)), "cannot be read (1,188,890 bytes; at most 1,000,000 work)"),
        (
            f"{HEAD}detectors: [spam-svm]\nseeds: [1{'0' * 400}]",
            "must be at most 9223372036854775807, got a whole number of",
        ),
        (f"{HEAD}detectors: [spam-svm]\nseeds: [1{'0' * 5000}]", "is not YAML: a whole number of 5001 digits"),
        (f"{HEAD}name: b\ndetectors: [spam-svm]", "is not YAML: 'name' stands twice (line 3, column 1)"),
        (f"{HEAD}detectors: [spam-svm]\npatches: {{size: 64, size: 128}}", "'size' stands twice (line 4, column 21)"),
        (f"name: {'n' * 300}\ndetectors: [spam-svm]", "FILE: name: a study's name has 1 to 100 letters"),
    ],
    ids=[
        *(
            "aliases",
            "an alias of itself",
            "20,000 detectors",
            "5,000 detectors",
            "100,000 seeds",
            "1,001 seeds",
            "keys",
        ),
        *("400 digits", "5,000 digits", "a key twice", "an inner key twice", "a long name"),
    ],
)
def test_a_study_file_that_is_too_much_is_refused_with_the_limit(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(tmp_path / "s.yaml", content)


def test_a_study_of_more_rows_than_anybody_reads_is_refused_before_it_is_planned(tmp_path: Path) -> None:
    detectors = [f"spam-svm:c=0.{n}1" for n in range(200)]
    with pytest.raises(StudyError, match="would have up to 1,600,000 rows; at most 1,000,000 work"):
        tiny_study(tmp_path, detectors=detectors, attacks=[], seeds=list(range(1000)), manipulations=list(PAPER))


def test_a_study_of_more_tasks_than_can_be_planned_is_refused_before_it_is_planned(
    tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resizes = [f"resize:1.{n:03}" for n in range(10, 1000)]
    simulated = {"simulated": {"devices": 3, "photos": 1000}}
    few = {"manipulations": resizes, "detectors": ["spam-svm"], "attacks": []}
    for run in (run_study, estimate_study):
        with pytest.raises(StudyError, match="would have about 2,979,960 tasks; at most 1,000,000 work"):
            run(tiny_study(tmp_path, photos=simulated, **few), tmp_path / "out")
    # Photographs in folders count, too: eight in three states, and four tasks for each detector and manipulation.
    monkeypatch.setattr(planning, "MOST_TASKS", 31)
    folders = {"photos": {"folders": [str(photo_folder)]}, "manipulations": ["median:7", "median:3"]}
    with pytest.raises(StudyError, match="would have about 32 tasks; at most 31 work"):
        run_study(tiny_study(tmp_path, **few | folders), tmp_path / "out")
    monkeypatch.setattr(planning, "MOST_TASKS", 32)
    assert estimate_study(tiny_study(tmp_path, **few | folders), tmp_path / "out").left == 32


def test_a_pipe_as_study_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(StudyError, match=r"cannot be read \(not a regular file\)"):
        load_study(str(tmp_path / "s.yaml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("patches: {size: true}", "patches.size: write a whole number, got True"),
        ("patches: {per_photo: 1_0}", "patches.per_photo: write a whole number, got '1_0'"),
        ("patches: {per_photo: 1.5}", "patches.per_photo: write a whole number, got 1.5"),
        (
            "split: {test: true}",
            "split.test: write a number of devices, or a list of their names, [NAME, NAME], got True",
        ),
        ("split: {test: device-1}", "split.test: write a number of devices, or a list of their names"),
        ("split: {test: [1]}", "split.test: write names of devices as texts"),
        ("split: {validation: true}", "split.validation: write a number, got True"),
        (
            "split: {test: [a, b], train: [b, c]}",
            "split: 'b' is a device under test and under train; keep one of the two",
        ),
        ("seeds: [true]", "seeds.0: write a whole number, got True"),
        ("seeds: 3", "seeds: write a list, [ONE, ANOTHER], got 3"),
        ("manipulations: median:7", "manipulations: write a list, [ONE, ANOTHER], got 'median:7'"),
        ("attacks: fgsm", "attacks: write a list, [ONE, ANOTHER], got 'fgsm'"),
        ("patches: luma", "patches: write settings, KEY: VALUE, got 'luma'"),
        ("patches: {channels: grey}", "patches.channels: must be 'luma' or 'rgb', got 'grey'"),
        ("attacks: [{attack: fgsm, targets: [3]}]", "attacks.0.targets.0: write a text, got 3"),
        ('attacks: ["fg\\esm"]', r"unknown attack 'fg\x1bsm'; did you mean 'fgsm'?"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_ours(tmp_path: Path, content: str, said: str) -> None:
    content = f"name: a\nphotos: {{simulated: {{}}}}\ndetectors: [spam-svm, cozzolino2017]\n{content}"
    assert said in refusal(tmp_path / "s.yaml", content)


def test_texts_and_numbers_are_what_they_are_written_as(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: a\nphotos: {simulated: {}}\ndetectors: [spam-svm]\nattacks: [spam-descent:goal=pristine]\n"
        "split: {test: [no, 2020-01-01, 1:30, 017], validation: 1e-1}\npatches: {size: 64.0}\n",
        encoding="utf-8",
    )
    study = load_study(str(tmp_path / "s.yaml"))
    assert study.split.test == ("no", "2020-01-01", "1:30", "017")
    assert (study.split.validation, study.patches.size) == (0.1, 64)
    assert [contest.attack.text for contest in study.contests] == ["spam-descent:goal=pristine"]


def test_the_same_folder_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StudyError, match=f"names '{tmp_path}/a' twice; give each folder once"):
        tiny_study(tmp_path, photos={"folders": ["a", f"{tmp_path}/b/../a"]})


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        ("xception:channels=rgb", "xception:channels=rgb reads RGB, and patches.channels is luma; set channels: rgb"),
        ("xception:imagenet=hub:../../x", "imagenet must be a file or hub:OWNER/NAME, got 'hub:../../x'"),
        ("xception:imagenet=/etc/passwd", "/etc/passwd is no safetensors file"),
        ("xception:imagenet=/nowhere/at.all", "imagenet='/nowhere/at.all' is no file"),
        ("xception:imagenet=/dev/zero", "imagenet='/dev/zero' is no file"),
        (f"xception:imagenet={'n' * 300}", "nnnn' is no file"),
        ("mislnet:outputs=1e7", "mislnet: outputs must lie between 1 and 1,000, got 10000000"),
        ("cozzolino2017:steps=1e15", "steps must lie between 0 and 10,000,000, got 1000000000000000"),
    ],
)
def test_what_a_detector_cannot_do_is_said_when_the_study_is_read(tmp_path: Path, detector: str, said: str) -> None:
    with pytest.raises(CounterforensicsError) as caught:
        tiny_study(tmp_path, detectors=[detector], attacks=[])
    assert said in str(caught.value)


def test_an_impossible_setting_of_an_attack_is_repeated_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(AttackError) as caught:
        tiny_study(tmp_path, attacks=[{"attack": "fgsm:epsilon=300", "targets": [COZZOLINO]}])
    assert str(caught.value).endswith(
        "attacks.0.attack: fgsm: epsilon must be a whole number of grey levels, 1..255, got 300"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold settings (name:, photos:, ...), holds NoneType"),
        (b"- name: a", "must hold settings (name:, photos:, ...), holds list"),
        (b"name: [", "is not YAML: "),
        (b"name: a\nname: b", "is not YAML: 'name' stands twice (line 2, column 1)"),
        (b"name: !!python/object/apply:os.getcwd []", "is not YAML: "),
        (b"[" * 5000, "is not YAML: "),
        (b"name: \xff", "byte 6 is not UTF-8 text"),
    ],
    ids=["empty", "a list", "unclosed", "a key twice", "code", "too deep", "not text"],
)
def test_a_file_that_holds_no_study_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        load_study(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml: cannot be read \(No such file or directory\)"):
        load_study(str(tmp_path / "nowhere.yaml"))


def test_every_mistake_is_an_error_of_the_user_s(tmp_path: Path) -> None:
    """Any value in any place gives a study or one clear line."""
    values: list[Any] = [None, -1, 0, 2.5, "x", "", [], ["x"], [[]], {}, {"x": 1}, True]
    values += [float("nan"), float("inf"), 10**30]
    places = ["name", "photos", "split", "patches", "manipulations", "detectors", "attacks", "seeds"]
    inner = {
        "photos": ["folders", "simulated"],
        "split": ["test", "train", "validation"],
        "patches": ["size", "per_photo", "per_device", "channels"],
    }
    refusals = []
    for place in places:
        for value in values:
            for content in [value, *({key: value} for key in inner.get(place, []))]:
                settings = tiny_settings(**{place: content})
                try:
                    study = load_study(str(write_study(tmp_path / "s.yaml", settings)))
                except CounterforensicsError as error:
                    refusals.append(str(error))
                else:
                    assert Study.model_validate(yaml.safe_load(study.as_yaml())) == study
    assert len(refusals) > 150
    assert not any("\n" in refusal for refusal in refusals)


# --- labels


def labelled(tmp_path: Path, detectors: list[Any], attacks: list[Any] | None = None) -> Study:
    return tiny_study(tmp_path, detectors=detectors, attacks=attacks or [])


def test_a_detector_without_a_label_is_called_by_its_name_and_settings_where_two_look_the_same(tmp_path: Path) -> None:
    study = labelled(
        tmp_path, ["spam-svm:c=0.2", "cozzolino2017", "cozzolino2017:steps=0", {"detector": "mislnet", "label": "Deep"}]
    )
    labels = [judge.label for judge in study.judges]
    assert labels == ["spam-svm", "cozzolino2017", "cozzolino2017 (steps=0)", "Deep"]


def test_a_target_is_named_by_its_label_or_by_its_text_form_however_that_is_written(tmp_path: Path) -> None:
    detectors = [{"detector": COZZOLINO, "label": "Mine"}, "cozzolino2017:steps=0"]
    targets = ["Mine", "cozzolino2017:parametrisation=product,steps=0"]
    study = labelled(tmp_path, detectors, [{"attack": "fgsm", "label": "Sign", "targets": targets}])
    assert [(contest.attack.label, contest.target and contest.target.label) for contest in study.contests] == [
        ("Sign", "Mine"),
        ("Sign", "cozzolino2017"),
    ]


def test_a_study_with_labels_is_the_same_study_when_it_is_written_and_read_again(tmp_path: Path) -> None:
    attacks = [{"attack": "fgsm", "label": "Sign", "targets": ["Mine"]}, "spam-descent:goal=pristine"]
    study = labelled(tmp_path, ["spam-svm", {"detector": COZZOLINO, "label": "Mine"}], attacks)
    (tmp_path / "again.yaml").write_text(study.as_yaml(), encoding="utf-8")
    again = load_study(str(tmp_path / "again.yaml"))
    assert (again.judges, again.contests) == (study.judges, study.contests)


@pytest.mark.parametrize(
    ("detectors", "message"),
    [
        ([{"detector": "spam-svm", "label": ""}], "a label has 1 to 60 letters"),
        ([{"detector": "spam-svm", "label": "a/b"}], "a label has 1 to 60 letters"),
        ([{"detector": "spam-svm", "label": "two\nlines"}], "a label has 1 to 60 letters"),
        ([{"detector": "spam-svm", "label": " ends"}], "no space or dot at its ends, got ' ends'"),
        ([{"detector": "spam-svm", "label": "x" * 61}], "a label has 1 to 60 letters"),
        ([{"detector": "spam-svm", "label": 7}], "a label has 1 to 60 letters"),
        (
            [{"detector": "spam-svm", "label": "one"}, {"detector": "spam-svm:c=1", "label": "One"}],
            "detectors give the label 'One' to 'spam-svm' and to 'spam-svm:c=1'; each needs its own",
        ),
        (["spam-svm", {"detector": "mislnet", "label": "spam-svm"}], "detectors give the label 'spam-svm' to "),
        ([{"label": "one"}], "detectors.0.detector: it is needed"),
        ([["spam-svm"]], "write a detector as NAME, NAME:SETTING=VALUE or {detector: NAME, label: TEXT}"),
    ],
)
def test_a_label_that_cannot_tell_detectors_apart_or_name_a_file_is_refused(
    tmp_path: Path, detectors: list[Any], message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        labelled(tmp_path, detectors)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_attack_with_two_labels_is_refused(tmp_path: Path) -> None:
    other = "cozzolino2017:steps=0"
    attacks = [
        {"attack": "fgsm", "label": "a", "targets": [COZZOLINO]},
        {"attack": "fgsm", "label": "b", "targets": [other]},
    ]
    with pytest.raises(StudyError, match="attacks give 'fgsm' two labels, 'a' and 'b'"):
        labelled(tmp_path, [COZZOLINO, other], attacks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detectors": ["mislnet:rate=0.1"]}, "mislnet: the setting 'rate' is now called 'lr'"),
        ({"detectors": ["xception:rate=0.1"]}, "xception: the setting 'rate' is now called 'lr'"),
        ({"detectors": ["bayar2016:decay=0"]}, "bayar2016: the setting 'decay' is now called 'weight_decay'"),
        ({"detectors": ["cozzolino2017:feature_rate=0"]}, "the setting 'feature_rate' is now called 'feature_lr'"),
        ({"attacks": ["gan-kim:momentum=0.5"]}, "gan-kim: the setting 'momentum' is now called 'beta1'"),
        ({"attacks": ["gan-vgg:rate=0.5"]}, "gan-vgg: the setting 'rate' is now called 'lr'"),
    ],
)
def test_an_old_name_of_a_setting_is_answered_by_the_new_one(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        tiny_study(tmp_path, **{"attacks": []} | changes)
    assert message in str(caught.value)
