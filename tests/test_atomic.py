"""A file or a folder is there in whole or not at all, and what stood there stays until then."""

import pytest

from emberformer.atomic import replacing, replacing_file, write_json, write_whole


def test_a_file_takes_its_place_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replacing_file(path) as partial:
        partial.write_text("one")
        assert not path.exists()
    with replacing_file(path, ".csv") as partial:
        assert partial.suffix == ".csv"
        partial.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def _stopped(path, begun):
    with replacing_file(path) as partial:
        if begun:
            partial.write_text("tw")
        raise KeyboardInterrupt


@pytest.mark.parametrize("begun", [True, False])
def test_after_an_error_a_file_is_as_it_was(tmp_path, begun):
    path = tmp_path / "table.csv"
    path.write_text("one")
    with pytest.raises(KeyboardInterrupt):
        _stopped(path, begun)
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_text_and_bytes_are_written_into_a_new_folder(tmp_path):
    for content in ("día", "día".encode()):
        write_whole(tmp_path / "new" / "a", content)
        assert (tmp_path / "new" / "a").read_bytes() == "día".encode()


def test_json_that_cannot_be_written_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", [float("nan")])
    assert (tmp_path / "a.json").read_text() == "[1]"


def test_a_folder_takes_the_place_of_another(tmp_path):
    for number in range(2):
        with replacing(tmp_path / "store") as partial:
            (partial / f"{number}").touch()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["1"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
