"""Scanning folders of MIDI files: what is found, and the outcome for every odd file."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import mido
import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Reason, Rejection, ScannedSong
from stemsmith.render.midi import scan as inventory
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S
from stemsmith.render.midi.scan import ScanJob, find_midi_files, load_score, plan_scan, scan_files
from stemsmith.render.midi.smf import Unusable

SHARED = Path(os.environ.get("STEMSMITH_SHARED", Path(__file__).resolve().parents[4] / "shared"))
ODD = SHARED / "midi" / "odd"

# The odd files that are refused, and why; all others are songs.
REFUSED = {
    "made/type_field_2.mid": "asynchronous",
    "real/conformance__midifile__MIDIOkFormat2.mid": "asynchronous",
    "real/conformance__test-midi-files__test-2-tracks-type-2.mid": "asynchronous",
    "real/type2__drywetmidi__Dark_Forces.mid": "asynchronous",
    "real/type2__drywetmidi__Fight6.mid": "asynchronous",
    "real/type2__drywetmidi__boss3.mid": "asynchronous",
    "real/type2__drywetmidi__executor.mid": "asynchronous",
    "real/type2__drywetmidi__fight.mid": "asynchronous",
    "made/division_zero.mid": "bad-division",
    "real/odd_division__muspy__zero-ticks-per-beat.mid": "bad-division",
    "real/smpte_division__midifile__MIDIBadHeaderSMTPE.mid": "bad-division",
    "real/smpte_division__muspy__negative-ticks-per-beat.mid": "bad-division",
    "made/truncated_10pct.mid": "damaged",
    "made/truncated_50pct.mid": "damaged",
    "made/truncated_90pct.mid": "damaged",
    "made/truncated_99pct.mid": "damaged",
    "real/conformance__test-midi-files__test-corrupt-file-missing-byte.mid": "damaged",
    "real/corrupted_parser_tests__symusic__Issue104_Bizarre_Love_Triangle2.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__bolero06.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__exodus05.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__losing.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__piccolo.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__shoop3.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__stair2.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__statrek.mid": "damaged",
    "real/data_byte_over_127__drywetmidi__tbirds.mid": "damaged",
    "real/odd_division__drywetmidi__dax_-_FDAX.mid": "damaged",
    "real/running_status_error__drywetmidi__JAZZ18.mid": "damaged",
    "real/running_status_error__drywetmidi__Terrible_Lie_1.mid": "damaged",
    "real/running_status_error__drywetmidi__UNUSUAL.mid": "damaged",
    "real/running_status_error__drywetmidi__addams.mid": "damaged",
    "real/unknown_format__drywetmidi__ba_bran3.mid": "damaged",
    "real/unknown_status_byte__drywetmidi__WC2_13.mid": "damaged",
    "made/header_only_14b.mid": "no-notes",
    "real/conformance__midifile__MIDIBadTrackHdr.mid": "no-notes",
    "real/extra_track_chunk__drywetmidi__arkanoid_modified__.mid": "no-notes",
    "real/no_notes__miditok__empty.mid": "no-notes",
    "real/no_notes__muspy__empty.mid": "no-notes",
    "real/no_notes__muspy__multiple-copyrights.mid": "no-notes",
    "real/no_notes__muspy__ticks-per-beat-480.mid": "no-notes",
    "real/no_notes__muspy__type2.mid": "no-notes",
    "made/garbage_ascii.mid": "not-midi",
    "made/one_byte.mid": "not-midi",
    "made/random_bytes_4k.mid": "not-midi",
    "made/zero_length.mid": "not-midi",
    "real/conformance__midifile__MIDIBadHeaderChunk.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__Amanda_Wilson_-_Gotta_Let_You_Go.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__RedemptionSong.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__afuera.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__entertainer05.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__jjescapade.mid": "not-midi",
    "real/no_header_chunk__drywetmidi__namusic.mid": "not-midi",
    "real/truncated_in_event__drywetmidi__xutz.mid": "not-midi",
    "made/fastest_tempo_1us.mid": "too-dense",
    "made/bitflips_12.mid": "too-long",
    "made/last_note_after_days.mid": "too-long",
    "real/cc_heavy__miditok__Maestro_5.mid": "too-long",
    "real/cc_heavy__miditok__Maestro_6.mid": "too-long",
    "real/hours_long__drywetmidi__DION.Move_any_mountain.mid": "too-long",
    "real/hours_long__test-midi-files__test-all-xg-sounds.mid": "too-large",  # with its kits
    "real/over24_instruments__test-midi-files__test-all-gm2-sounds.mid": "too-large",  # likewise
    "real/over24_instruments__test-midi-files__test-all-gs-sounds.mid": "too-long",
    "real/unknown_status_byte__drywetmidi__Pernambuco_Brasileirinho.mid": "too-long",
    "real/unknown_status_byte__drywetmidi__brand_3.mid": "too-long",
    "real/unknown_status_byte__drywetmidi__dixie-nw.mid": "too-long",
}

# Sound here, but mido fails: running status after a system exclusive.
BEYOND_MIDO = {"real/conformance__test-midi-files__test-running-status-sysex.mid"}


def touch(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def scan(root: Path, path: str, max_duration_s: float = DEFAULT_MAX_DURATION_S) -> object:
    """Return the outcome for one file."""
    (outcome,) = scan_files(ScanJob(str(root), (path,), max_duration_s))
    return outcome


def rejection(root: Path, path: str) -> Rejection:
    outcome = scan(root, path)
    assert isinstance(outcome, Rejection)
    assert (outcome.id, outcome.stage) == (path, "scan")
    assert outcome.detail
    return outcome


def small_song(path: Path, n_notes: int = 3) -> Path:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="Lead")])
    for k in range(n_notes):
        track.append(mido.Message("note_on", note=60 + k, velocity=64))
        track.append(mido.Message("note_off", note=60 + k, time=480))
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(path)
    return path


def n_note_ons(path: Path) -> int:
    """Count notes by mido."""
    return sum(
        message.type == "note_on" and message.velocity > 0
        for track in mido.MidiFile(path, clip=True).tracks
        for message in track
    )


# Finding files.


def test_files_are_found_below_in_any_case_and_sorted(tmp_path: Path) -> None:
    names = [
        "b.MID",
        "a/z.mid",
        "a/b/c.Midi",
        "a/b/song.KAR",
        "Z.kar",
        "ä b.mid",
        ".hidden.mid",
        "c.rmi",
        "d.SMF",
    ]
    for name in [*names, "a/readme.txt", "x.mid.bak", "mid", "a/b/.mid"]:
        touch(tmp_path / name)
    assert find_midi_files(tmp_path) == sorted(names)


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert find_midi_files(tmp_path) == []


@pytest.mark.parametrize("name", ["song.mid", "missing"])
def test_a_root_that_is_no_folder_is_a_usage_error(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "song.mid")
    with pytest.raises(UsageError, match=name):
        find_midi_files(tmp_path / name)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "song.mid")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert find_midi_files(tmp_path) == ["a/song.mid"]


def test_a_folder_reached_by_two_links_is_read_once(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    touch(elsewhere / "song.mid")
    touch(root / "own.mid")
    (root / "one").symlink_to(elsewhere)
    (root / "two").symlink_to(elsewhere)
    assert find_midi_files(root) == ["one/song.mid", "own.mid"]


def test_a_linked_file_is_found(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere.mid")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.mid").symlink_to(elsewhere)
    assert find_midi_files(tmp_path / "root") == ["link.mid"]


def test_a_folder_called_like_a_file_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "x.mid" / "y.mid")
    (tmp_path / "empty.mid").mkdir()
    assert find_midi_files(tmp_path) == ["x.mid/y.mid"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_a_usage_error(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    try:
        with pytest.raises(UsageError, match="locked"):
            find_midi_files(tmp_path)
    finally:
        locked.chmod(0o700)


# Reading files.


def test_jobs_have_every_file_once_in_order() -> None:
    paths = [f"{k:03d}.mid" for k in range(100)]
    jobs = list(plan_scan(Path("/midi"), paths, 60.0))
    assert [path for job in jobs for path in job.paths] == paths
    assert len(jobs) > 1
    assert {(job.root, job.max_duration_s) for job in jobs} == {("/midi", 60.0)}


def test_a_job_keeps_the_order_and_goes_on_after_a_rejection(tmp_path: Path) -> None:
    small_song(tmp_path / "b.mid")
    small_song(tmp_path / "a.mid")
    touch(tmp_path / "bad.mid", b"no score")
    found = scan_files(ScanJob(str(tmp_path), ("b.mid", "bad.mid", "a.mid"), 1200.0))
    assert [type(item) for item in found] == [ScannedSong, Rejection, ScannedSong]
    assert [item.path for item in found if isinstance(item, ScannedSong)] == ["b.mid", "a.mid"]


def test_a_scanned_song_says_what_is_in_the_file(tmp_path: Path) -> None:
    path = small_song(tmp_path / "deep" / "song.mid", n_notes=3)
    song = scan(tmp_path, "deep/song.mid")
    assert isinstance(song, ScannedSong)
    assert song.path == "deep/song.mid"
    assert song.md5 == hashlib.md5(path.read_bytes()).hexdigest()
    assert song.duration_s == 1.5
    assert song.n_notes == 3
    assert [(part.name, part.n_notes) for part in song.parts] == [("Lead", 3)]
    assert song.repairs == ()
    _, score = load_score(path, 1200.0)
    assert song.notes_sha256 == score.notes_sha256()


def test_the_longest_duration_is_the_jobs(tmp_path: Path) -> None:
    small_song(tmp_path / "song.mid")
    assert isinstance(scan(tmp_path, "song.mid", 1.5), ScannedSong)
    outcome = scan(tmp_path, "song.mid", 1.4)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.TOO_LONG


def test_a_file_that_vanished_is_unreadable(tmp_path: Path) -> None:
    assert rejection(tmp_path, "gone.mid").reason is Reason.UNREADABLE


def test_a_link_to_nowhere_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "link.mid").symlink_to(tmp_path / "gone.mid")
    assert find_midi_files(tmp_path) == ["link.mid"]
    assert rejection(tmp_path, "link.mid").reason is Reason.UNREADABLE


def test_a_folder_in_the_place_of_a_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x.mid").mkdir()
    assert rejection(tmp_path, "x.mid").reason is Reason.UNREADABLE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    small_song(tmp_path / "locked.mid").chmod(0)
    assert rejection(tmp_path, "locked.mid").reason is Reason.UNREADABLE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mid"
    os.mkfifo(pipe)

    def close_what_was_opened() -> None:  # whoever reads the pipe finds its end
        os.close(os.open(pipe, os.O_WRONLY))

    writer = threading.Thread(target=close_what_was_opened, daemon=True)
    writer.start()
    try:
        assert find_midi_files(tmp_path) in ([], ["pipe.mid"])
        assert rejection(tmp_path, "pipe.mid").reason is Reason.UNREADABLE
    finally:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)


def test_a_large_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_song(tmp_path / "song.mid")
    monkeypatch.setattr(inventory, "MAX_FILE_BYTES", path.stat().st_size)
    assert isinstance(scan(tmp_path, "song.mid"), ScannedSong)
    monkeypatch.setattr(inventory, "MAX_FILE_BYTES", path.stat().st_size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert rejection(tmp_path, "song.mid").reason is Reason.TOO_LARGE


def test_load_score_raises_what_a_scan_reports(tmp_path: Path) -> None:
    touch(tmp_path / "bad.mid", b"no score")
    with pytest.raises(Unusable) as caught:
        load_score(tmp_path / "bad.mid", 1200.0)
    assert caught.value.reason is Reason.NOT_MIDI


# Collections of real files.


def odd_files() -> list[object]:
    if not ODD.is_dir():
        reason = f"no odd scores at {ODD}; set STEMSMITH_SHARED to use some"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    return list(find_midi_files(ODD))


@pytest.mark.parametrize("path", odd_files())
def test_every_odd_file_has_its_outcome(path: str) -> None:
    outcome = scan(ODD, path)
    if path in REFUSED:
        assert rejection(ODD, path).reason == REFUSED[path]
        return
    assert isinstance(outcome, ScannedSong), outcome
    assert outcome.n_notes == sum(part.n_notes for part in outcome.parts) > 0
    assert 0 < outcome.duration_s <= DEFAULT_MAX_DURATION_S
    if not outcome.repairs and path not in BEYOND_MIDO:
        assert outcome.n_notes == n_note_ons(ODD / path)


@pytest.mark.parametrize(
    "path",
    [
        "real/aftertouch_heavy__drywetmidi__totaleclipseoftheheartTess.mid",
        "real/alien_chunk__drywetmidi__Being-Boring.mid",
        "real/alien_chunk__drywetmidi__Bob_Seger_-_Hollywood_Nights.mid",
    ],
)
def test_the_tail_of_an_older_file_is_not_played(shared: Path, path: str) -> None:
    file = shared / "midi" / "odd" / path
    if not file.exists():
        pytest.skip(f"no {file}")
    song = scan(file.parent, file.name)
    assert isinstance(song, ScannedSong)
    assert song.n_notes == n_note_ons(file)  # mido reads the declared tracks


@pytest.mark.parametrize("is_all", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("collection", ["dev", "chorales"])
def test_every_sound_file_is_a_song_with_all_its_notes(
    shared: Path, collection: str, is_all: bool
) -> None:
    root = shared / "midi" / collection
    paths = find_midi_files(root)
    assert paths
    for job in plan_scan(root, paths[:: 1 if is_all else 5], DEFAULT_MAX_DURATION_S):
        for path, song in zip(job.paths, scan_files(job), strict=True):
            assert isinstance(song, ScannedSong), song
            assert (song.path, song.repairs) == (path, ())
            assert song.n_notes == n_note_ons(root / path), path
