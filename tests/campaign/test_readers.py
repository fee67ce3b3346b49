"""The campaign's attacks on readers of data, a few tries of each."""

import io
import itertools
import random
import zipfile

import pytest

from tests.campaign import data_sets, readers
from tests.campaign.readers import ATTACKS


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.partition(": ")[2])
def test_a_few_mutated_files_are_read_or_refused(attack, tmp_path):
    outcomes = itertools.islice(attack.run(random.Random(0), tmp_path), 5)
    assert [outcome.lost for outcome in outcomes if outcome.lost] == []


@pytest.mark.parametrize("stray", ["outside", "../outside", "../../outside", "here/outside", data_sets.OUTSIDE], ids=[
    "beside", "above", "far above", "inside", "an absolute name",
])  # fmt: skip
def test_what_an_archive_leaves_elsewhere_is_found(stray, tmp_path, monkeypatch):
    def unzip(archive, target, name):
        target.mkdir()
        (target.parent / stray).write_text("stray")

    monkeypatch.setattr("cmbench.workloads.download.unzip", unzip)
    (tmp_path / "data.zip").write_bytes(b"")
    with pytest.raises(AssertionError, match=r"wrote outside of its folder: .*outside"):
        readers._unpacked(tmp_path)
    assert not data_sets.OUTSIDE.exists()


def test_a_bomb_is_one(monkeypatch):
    monkeypatch.setattr(data_sets, "BOMB", 1 << 25)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        content = data_sets._bomb.__wrapped__(method)
        with zipfile.ZipFile(io.BytesIO(content)) as files:
            [member] = files.infolist()
            assert (member.file_size, member.compress_type) == (10, method)
            packed = zipfile._get_decompressor(method).decompress(
                content[30 + len(member.filename) :][: member.compress_size]
            )
        assert len(packed) == 1 << 25
        assert len(content) < 1 << 18
