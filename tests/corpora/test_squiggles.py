import random
from pathlib import Path

import numpy as np
import pytest

from seqlab.corpora.squiggles import BASES, current, draw_bases, levels, prepare, simulate, split_of
from seqlab.data.sources import FeaturesSource
from seqlab.errors import UserError
from seqlab.frontends.features import Features
from seqlab.manifest import Line, line_to_row, read_manifest


def test_reads_are_arrays_that_the_features_frontend_takes(tmp_path: Path) -> None:
    written = prepare(None, str(tmp_path), num_train=30, num_dev=4, num_test=5)
    assert written == {split: tmp_path / f"{split}.jsonl" for split in ("train", "dev", "test")}
    source = FeaturesSource(Features(1))
    for split, number in (("train", 30), ("dev", 4), ("test", 5)):
        lines = read_manifest(written[split])
        assert len(lines) == number
        for line in lines:
            assert set(line.text) <= set("ACGT")
            assert 8 <= len(line.text) <= 20
            assert not any(4 * base in line.text for base in "ACGT")
            assert line.extra == {"synthetic": "simulated currents"}
            stored = np.load(line.files[0])
            assert (stored.dtype, stored.shape[1]) == (np.float32, 1)
            # 5 to 9 samples for each base, and 10 to 30 of the open pore at each end
            assert 5 * len(line.text) + 20 <= len(stored) <= 9 * len(line.text) + 60
            assert source.size(line) == len(stored)
            np.testing.assert_array_equal(source.signal(source.read(line)), stored)
    row = line_to_row(read_manifest(written["dev"])[0])
    assert (row["id"], row["features"]) == ("dev-00000", "reads/dev/dev-00000.npy")


def test_npz_is_read_as_npy(tmp_path: Path) -> None:
    read = simulate("ACGTACGT", random.Random(0))
    np.savez_compressed(tmp_path / "a.npz", read)
    np.save(tmp_path / "a.npy", read)
    source = FeaturesSource(Features(1))
    for name in ("a.npz", "a.npy"):
        line = Line("a", "ACGTACGT", features=name, root=tmp_path)
        assert source.size(line) == len(read)
        np.testing.assert_array_equal(source.read(line), read)


def test_no_sequence_is_in_two_splits() -> None:
    drawn = {
        split: {draw_bases(split, random.Random(f"{split} {number}")) for number in range(300)}
        for split in ("train", "dev", "test")
    }
    assert not drawn["train"] & drawn["dev"]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["dev"] & drawn["test"]
    for split, sequences in drawn.items():
        assert {split_of(bases) for bases in sequences} == {split}


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    def content(name: str, *options: int) -> dict[str, bytes]:
        prepare(None, str(tmp_path / name), *options)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    first = content("a", 6, 2, 2, 7)
    assert first == content("b", 6, 2, 2, 7)
    other = content("c", 6, 2, 2, 8)
    assert first["train.jsonl"] != other["train.jsonl"]
    more = content("d", 9, 2, 2, 7)
    assert more["train.jsonl"].startswith(first["train.jsonl"])
    assert first["reads/train/train-00005.npy"] == more["reads/train/train-00005.npy"]


def test_each_three_bases_have_one_level_near_that_of_the_middle_one() -> None:
    known = levels()
    assert known == levels()
    assert len(known) == 5 * 4 * 5  # an end may stand left and right
    middle = {"A": 60, "C": 75, "G": 90, "T": 105}
    for three, level in known.items():
        assert abs(level - middle[three[1]]) <= 8
    assert {three[1] for three in known} == set(BASES)


def test_current_holds_each_level_for_its_dwell() -> None:
    of = levels()
    expected = [of["-AC"]] * 2 + [of["ACC"]] * 1 + [of["CC-"]] * 3
    np.testing.assert_array_equal(current("ACC", [2, 1, 3]), expected)


def test_a_read_is_gain_and_offset_of_the_current_with_noise() -> None:
    read = simulate("ACGTTGCA", random.Random(3))[:, 0].astype(float)
    # samples of the open pore at both ends, and at least five of each of eight bases between
    first, last = read[:10], read[-10:]
    assert np.abs(first - last.mean()).max() < 6  # noise of 1 pA, five standard deviations and more
    assert 0.9 * 150 - 5 - 1 < first.mean() < 1.1 * 150 + 5 + 1
    strand = read[read < first.mean() - 15]
    assert 5 * 8 <= len(strand) <= 9 * 8
    of = levels()
    centre = np.mean([of["-AC"], of["ACG"], of["CGT"], of["GTT"], of["TTG"], of["TGC"], of["GCA"], of["CA-"]])
    # gain 0.9 to 1.1, offset 5, and dwells that weigh the levels unevenly
    assert abs(strand.mean() - centre) < 0.1 * centre + 5 + 6


@pytest.mark.parametrize(
    ("root", "numbers", "fault"),
    [
        ("somewhere", (1, 1, 1), "leave root empty"),
        (None, (0, 0, 0), "nothing to make"),
        (None, (1, -1, 1), "num_dev=-1 must lie between"),
    ],
)
def test_wrong_options(tmp_path: Path, root: str | None, numbers: tuple[int, int, int], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        prepare(root, str(tmp_path / "out"), *numbers)
    assert not (tmp_path / "out").exists()
