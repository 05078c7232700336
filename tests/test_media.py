"""Files through ffmpeg: sound stays in step with picture, and the picture is copied byte for byte."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxveil.audio.files import blocks, probe, read, writing
from voxveil.errors import BadInputError, BadOutputError, MissingExtraError, VoxveilError

av = pytest.importorskip("av")

RATE = 48_000
# name, audio codec, video codec, the sound's start in frames, the codec's frame
CASES = [
    ("a.m4a", "aac", None, 0, 1024),
    ("b.mp4", "aac", "libx264", 0, 1024),
    ("late.mp4", "aac", "mpeg4", 12_000, 1024),
    ("c.webm", "libopus", "libvpx", 0, 960),
    ("d.webm", "libopus", "libvpx-vp9", 0, 960),
    ("late.mkv", "libopus", None, 24_000, 960),
    ("e.mkv", "aac", "libx264", 0, 1024),
    ("f.mkv", "libmp3lame", None, 0, 1152),
    ("g.avi", "libmp3lame", "mpeg4", 0, 1152),
    ("h.aac", "aac", None, 0, 1024),
    ("i.ts", "aac", "mpeg2video", 0, 1024),
    ("j.ts", "mp2", "mpeg2video", 0, 1152),
    ("k.flv", "aac", "flv", 0, 1024),
    ("l.mp4", "ac3", None, 0, 1536),
]
LOSSLESS = [
    ("a.mov", "pcm_s16le", "mpeg4"),
    ("b.mov", "pcm_s24le", None),
    ("c.m4a", "alac", None),
    ("d.mkv", "flac", None),
    ("e.mkv", "pcm_f32le", None),
    ("f.avi", "pcm_s16le", "mpeg4"),
]


def hum(frames: int = RATE + 333) -> np.ndarray:
    time = np.arange(frames) / RATE
    voice = 0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time) * (1 + np.sin(9 * time)) / 2
    voice += 0.02 * np.random.default_rng(0).standard_normal(frames)
    return np.stack([voice, 0.7 * voice])


def make(path: Path, codec: str, video: str | None = None, start: int = 0, tracks: int = 1) -> Path:
    sound = hum()
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A title"
        audio = []
        try:
            for _ in range(tracks):
                audio.append(container.add_stream(codec, rate=RATE, bit_rate=96_000))
                audio[-1].codec_context.layout = "stereo"
                audio[-1].metadata["language"] = "deu"
            picture = container.add_stream(video, rate=25, width=64, height=48) if video else None
        except ValueError as error:
            pytest.skip(f"this ffmpeg has no such encoder: {error}")
        for begin in range(0, sound.shape[1], 4800):
            block = np.ascontiguousarray(sound[:, begin : begin + 4800], np.float32)
            for stream in audio:
                frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start + begin, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        pixels = np.random.default_rng(0).integers(0, 255, (25, 48, 64, 3), dtype=np.uint8)
        for index, image in enumerate(pixels if picture else []):
            shot = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            shot.pts, shot.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(shot))
        for stream in [*audio, *([picture] if picture else [])]:
            container.mux(stream.encode(None))
    return path


def copy(source: Path, target: Path, block_frames: int = 7_777) -> None:
    recording = probe(source)
    with writing(target, recording) as writer:
        for block in blocks(recording, block_frames):
            writer.write(block)


def video_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        streams = container.streams.video
        packets = container.demux(*streams) if streams else []
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets if packet.size]


def starts_at(path: Path) -> float:
    with av.open(str(path)) as container:
        frame = next(container.decode(audio=0))
        return float((frame.pts or 0) * frame.time_base)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_sound_stays_in_step_and_the_picture_untouched(tmp_path, case):
    name, codec, video, start, codec_frame = case
    source, target = make(tmp_path / name, codec, video, start), tmp_path / f"out-{name}"
    copy(source, target)
    before, after = read(source)[0], read(target)[0]
    assert abs(after.shape[1] - before.shape[1]) <= codec_frame
    lags = range(-codec_frame - 500, codec_frame + 501)
    piece = before[0, 10_000:40_000]
    match = [piece @ after[0, 10_000 + lag : 40_000 + lag] for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 1
    # The clock of Matroska ticks in milliseconds.
    assert starts_at(target) == pytest.approx(starts_at(source), abs=0.0011)
    assert [data for _, data in video_packets(target)] == [data for _, data in video_packets(source)]
    assert [time for time, _ in video_packets(target)] == [time for time, _ in video_packets(source)]
    old, new = probe(source), probe(target)
    for field in ("container", "subtype", "sample_rate", "channels"):
        assert getattr(new, field) == getattr(old, field)
    assert new.tags.get("title") == old.tags.get("title")
    assert target.stat().st_size == pytest.approx(source.stat().st_size, rel=0.25)


@pytest.mark.parametrize(("name", "codec", "video"), LOSSLESS)
def test_lossless_codecs_come_back_bit_for_bit(tmp_path, name, codec, video):
    source, target = make(tmp_path / name, codec, video), tmp_path / f"out-{name}"
    copy(source, target)
    np.testing.assert_array_equal(read(target)[0], read(source)[0])
    assert [data for _, data in video_packets(target)] == [data for _, data in video_packets(source)]


def test_the_language_of_a_stream_is_kept(tmp_path):
    copy(make(tmp_path / "a.mp4", "aac"), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.audio[0].metadata["language"] == "deu"


def test_cover_chapters_and_subtitles_are_kept(tmp_path):
    lines = tmp_path / "a.srt"
    lines.write_text("1\n00:00:00,100 --> 00:00:00,500\nHello\n\n2\n00:00:00,700 --> 00:00:01,000\nWorld\n")
    chapter = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
    for name in ("cover.m4a", "subtitles.mkv"):
        source, target = tmp_path / name, tmp_path / f"out-{name}"
        with (
            av.open(str(make(tmp_path / "plain.mkv", "aac"))) as sound,
            av.open(str(lines)) as words,
            av.open(str(source), "w", format="mp4" if name == "cover.m4a" else "matroska") as container,
        ):
            copied = {sound.streams[0]: container.add_stream_from_template(sound.streams[0], opaque=True)}
            container.set_chapters([chapter])
            if name == "cover.m4a":
                cover = container.add_stream("mjpeg", rate=1, width=64, height=48)
                cover.pix_fmt, cover.disposition = "yuvj420p", av.stream.Disposition.attached_pic
                picture = av.VideoFrame(64, 48, "yuvj420p")
                picture.pts = 0
                container.mux(cover.encode(picture) + cover.encode(None))
            else:
                copied[words.streams[0]] = container.add_stream_from_template(words.streams[0], opaque=True)
            for origin in (words, sound):
                for packet in origin.demux():
                    if packet.dts is not None and packet.stream in copied:
                        packet.stream = copied[packet.stream]
                        container.mux(packet)
        copy(source, target)
        found = []
        for path in (source, target):
            with av.open(str(path)) as container:
                others = [stream for stream in container.streams if stream.type != "audio"]
                packets = [bytes(packet) for packet in container.demux(*others) if packet.size]
                kinds = [(stream.type, stream.disposition) for stream in others]
                found.append((packets, kinds, len(container.chapters())))
        assert found[0] == found[1]
        assert found[0][0] and found[0][2] == 1


@pytest.mark.parametrize("block_frames", [100, 1_024, 100_000])
def test_blocks_put_together_are_the_file(tmp_path, block_frames):
    path = make(tmp_path / "a.m4a", "aac")
    parts = list(blocks(probe(path), block_frames))
    assert {part.shape[1] for part in parts[:-1]} <= {block_frames}
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), read(path)[0])


def test_a_gap_in_the_clock_is_silence(tmp_path):
    with av.open(str(tmp_path / "gap.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE)
        stream.codec_context.layout = "mono"
        for start in (0, RATE):
            frame = av.AudioFrame.from_ndarray(np.full((1, 4800), 1000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    sound = read(tmp_path / "gap.mkv")[0][0]
    assert len(sound) == RATE + 4800
    assert sound[100] == sound[RATE + 100] == 1000 / 32768
    assert not sound[4800:RATE].any()


def test_a_second_audio_stream_is_not_left_unprotected(tmp_path):
    source = make(tmp_path / "a.mkv", "aac", tracks=2)
    with pytest.raises(BadInputError, match="2 audio streams"):
        copy(source, tmp_path / "b.mkv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mkv"]


def test_a_file_without_sound_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(BadInputError, match="no audio stream"):
        probe(tmp_path / "a.mp4")


def test_a_playlist_opens_no_other_file(tmp_path):
    make(tmp_path / "secret.ts", "aac")
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadInputError):
        probe(playlist)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ValueError])
def test_what_is_interrupted_leaves_nothing(tmp_path, error):
    source = make(tmp_path / "a.mp4", "aac", "mpeg4")
    with pytest.raises(error), writing(tmp_path / "b.mp4", probe(source)) as writer:
        writer.write(np.zeros((2, 10_000)))
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.m4a", "a.webm"])
def test_a_full_disk_is_reported(tmp_path, name):
    resource = pytest.importorskip("resource")
    source = make(tmp_path / name, "aac" if name == "a.m4a" else "libopus")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so that writing past the limit is an error here and not the end of the process.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(BadOutputError, match="cannot be written"):
            copy(source, tmp_path / f"out-{name}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    source = make(tmp_path / "a.m4a", "aac")
    (tmp_path / "a.wav").write_text("This is no sound.")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"Reading \.m4a needs the extra 'media'"):
        probe(source)
    with pytest.raises(BadInputError):
        probe(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_never_surprise(tmp_path, name, edits, kept):
    path = tmp_path / name
    if not path.exists():
        make(path, "aac")
    data = bytearray(path.read_bytes())
    for place, value in edits:
        data[round(place * (len(data) - 1))] = value
    damaged = path.with_stem("damaged")
    damaged.write_bytes(data[: round(kept * len(data))])
    try:
        for _ in blocks(probe(damaged), 4_096):
            pass
    except VoxveilError as error:
        assert str(damaged) in str(error) and str(error).endswith(".")
