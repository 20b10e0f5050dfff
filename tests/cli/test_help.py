"""Help texts: their width, headings and examples; options that would change nothing; completion."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from stemsmith.cli.main import main
from stemsmith.cli.options import OUTPUT, Command
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.renditions.config import (
    NOT_OF_RENDITIONS,
    ONLY_RENDITIONS,
    RenditionConfig,
)

WIDTH = 100
EXAMPLES = [(name, line) for name, one in main.commands.items() for line in one.examples]  # type: ignore[attr-defined]


def groups_of(name: str) -> dict[str, list[click.Parameter]]:
    command = main.commands[name]
    assert isinstance(command, Command)
    return command.groups(click.Context(command, info_name=f"stemsmith {name}"))


@pytest.mark.parametrize("name", [None, *main.commands])
def test_help_is_no_wider_than_a_terminal(name: str | None, here) -> None:
    done = here(*([name] if name else []), "--help")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= WIDTH
    if name:
        assert done.stdout.rstrip().splitlines()[-1].startswith(f"  stemsmith {name}")


@pytest.mark.parametrize("name", main.commands)
def test_every_command_has_examples_and_its_options_have_headings(name: str) -> None:
    command = main.commands[name]
    assert isinstance(command, Command), f"{name}: use stemsmith.cli.options.command"
    assert command.examples
    groups = groups_of(name)
    assert list(groups)[-1] == OUTPUT
    shown = [p.opts for parameters in groups.values() for p in parameters]
    assert "--help" in shown[-1]
    known = [p.opts for p in command.params if isinstance(p, click.Option) and not p.hidden]
    assert sorted(shown[:-1]) == sorted(known)
    assert not any(len(parameters) > 20 for parameters in groups.values())


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=str)
def test_every_example_is_a_command_that_can_be_parsed(name: str, line: str) -> None:
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("stemsmith", name)
    with main.commands[name].make_context(name, list(arguments)) as context:
        assert not context.args


@pytest.mark.parametrize("line", [line for name, line in EXAMPLES if name in ("mix", "render")])
def test_the_examples_of_render_and_mix_make_sense_together(line: str) -> None:
    from stemsmith.cli.options import read_config
    from stemsmith.cli.renditions import are_wanted, read_rendition_config
    from stemsmith.mixing.plan.config import MixConfig

    _, name, *arguments = shlex.split(line)
    with main.commands[name].make_context(name, list(arguments)) as context:
        if name == "mix":
            assert read_config(MixConfig, context.params)
        elif are_wanted(context.params):
            assert read_rendition_config({**context.params, "band": None})
        else:
            assert read_config(RenderConfig, context.params)


def flag_and_value(parameter: click.Parameter) -> list[str]:
    """Return an option with a value that it takes, which is not its default."""
    assert isinstance(parameter, click.Option)
    values = {
        "balance": "real", "effects": "class", "room": "drawn", "codec": "mp3:128",
        "tempos": "80", "shifts_s": "0,0.1", "aligned": ".", "n_renditions": "2",
    }  # fmt: skip
    if parameter.is_flag:
        flag = [*parameter.secondary_opts, *parameter.opts][0]
        return [flag]
    if parameter.name in values:
        return [parameter.opts[0], values[parameter.name]]
    if isinstance(parameter.type, click.Choice):
        return [parameter.opts[0], str(parameter.type.choices[-1])]
    return [parameter.opts[0], "3"]


OF_RENDITIONS = [p for p in groups_of("render")[ONLY_RENDITIONS] if p.name != "preset"]
NOT_OF = [
    parameter
    for heading, parameters in groups_of("render").items()
    if heading.endswith("not of renditions")
    for parameter in parameters
]


def test_headings_say_what_concerns_renditions() -> None:
    assert {p.name for p in NOT_OF} == set(NOT_OF_RENDITIONS)
    own = {f.name for f in fields_of(RenditionConfig)} - {f.name for f in fields_of(RenderConfig)}
    assert {p.name for p in OF_RENDITIONS} == own - {"rule"}


@pytest.mark.parametrize("parameter", NOT_OF, ids=lambda p: p.name)
@pytest.mark.parametrize("how", [("--renditions", "2"), ("--preset", "miron-rwc")], ids=str)
def test_what_changes_nothing_about_renditions_is_refused(
    parameter: click.Option, how: tuple[str, ...], tmp_path: Path, here
) -> None:
    done = here("render", tmp_path, tmp_path / "c", *how, *flag_and_value(parameter))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"Error: {parameter.opts[0]}: "), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["target_lufs", "mix_source", "master"])
def test_even_the_default_is_refused_if_it_is_given(name: str, tmp_path: Path, here) -> None:
    given = {"target_lufs": "-13", "mix_source": "automix", "master": "none"}[name]
    flag = f"--{name.replace('_', '-')}"
    done = here("render", tmp_path, tmp_path / "c", "--renditions", "2", flag, given)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {flag}: ")
    (tmp_path / "options.toml").write_text(f'{name} = "{given}"\n')
    config = ("--config", tmp_path / "options.toml")
    assert here("render", tmp_path, tmp_path / "c", *config, "--renditions", "2").returncode == 2


@pytest.mark.parametrize("parameter", OF_RENDITIONS, ids=lambda p: p.name)
def test_what_concerns_renditions_alone_is_refused_without_them(
    parameter: click.Option, tmp_path: Path, here
) -> None:
    if parameter.name == "n_renditions":
        return
    done = here("render", tmp_path, tmp_path / "c", *flag_and_value(parameter))
    assert done.returncode == 2, done.stderr
    flag = parameter.opts[0]
    assert done.stderr == f"Error: {flag} needs --renditions or --preset\n"


OTHER_VALUES: dict[str, Any] = {
    "patch_choice": "program", "mix_source": "unsplit", "target_lufs": -20, "max_gain_db": 10,
    "target_peak_dbfs": -3, "balance": "real", "audit": False, "on_defect": "drop",
    "effects": "class", "room": "drawn", "equalise": True, "master": "bus", "codec": "mp3:128",
    "dry": True, "humanise": True, "humanise_velocity": 3, "humanise_onset_s": 0.1,
    "drum_pieces": True,
    "tracks_per_tar": 2,
}  # fmt: skip


def test_python_refuses_what_changes_nothing_about_renditions() -> None:
    assert set(OTHER_VALUES) == set(NOT_OF_RENDITIONS)
    for name, value in OTHER_VALUES.items():
        with pytest.raises(UsageError) as error:
            RenditionConfig(**{name: value})
        assert str(error.value).endswith(NOT_OF_RENDITIONS[name])


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("--audio-format", "wav"), "--audio-format"),
        (("--stems", "all"), "--stems"),
        (("--pairing-threshold", "0.5", "--mode", "incoherent"), "--pairing-threshold"),
        (("--target-lufs", "-30"), "--target-lufs"),
        (("--target-lufs", "-30", "--mode", "renditions"), "--target-lufs"),
        (("--match", "key"), "--match"),
    ],
)
def test_mix_refuses_what_changes_nothing(
    arguments: tuple[str, ...], flag: str, tmp_path: Path, here
) -> None:
    done = here("mix", tmp_path, tmp_path / "m", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {flag}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_scan_of_soundfonts_refuses_options_of_scores(tmp_path: Path, here) -> None:
    for option in (("--band", "violin"), ("--no-band",), ("--seed", "0")):
        done = here("scan", "--soundfonts", tmp_path / "x.sf2", *option)
        assert done.returncode == 2
        assert done.stderr == f"Error: {option[0]}: of scores, not with --soundfonts\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("stemsmith ren", "plain,render\n"),
        ("stemsmith render --mast", "plain,--master\n"),
        ("stemsmith render --master ", "plain,none\nplain,bus\n"),
        ("stemsmith mix corp", "file,corp\n"),
        ("stemsmith evaluate run:x corp", "file,corp\n"),
        ("stemsmith validate corp", "file,corp\n"),
    ],
)
def test_a_shell_completes_commands_options_values_and_paths(words: str, expected: str) -> None:
    environment = {
        "_STEMSMITH_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert CliRunner().invoke(main, prog_name="stemsmith", env=environment).output == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(shell: str) -> None:
    environment = {"_STEMSMITH_COMPLETE": f"{shell}_source"}
    done = CliRunner().invoke(main, prog_name="stemsmith", env=environment)
    assert "_STEMSMITH_COMPLETE" in done.output
