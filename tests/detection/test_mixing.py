import torch
from hypothesis import given
from hypothesis import strategies as st

from emberformer.detection.mixing import cut_and_mixed, mixed, mixed_up, rectangle
from emberformer.detection_settings import MixingSettings
from tests.detection.scenes import Scenes

GRID = (8, 8)
PIXELS = 5  # a side of a patch, in the test of geometry


def told(*boxes: tuple[float, float, float, float]):
    return torch.tensor(boxes).reshape(-1, 4), torch.arange(len(boxes)), torch.ones(len(boxes))


def filled(boxes: torch.Tensor) -> torch.Tensor:
    """Pixels that are in any of the boxes, which end at edges of pixels."""
    size = GRID[0] * PIXELS
    found = torch.zeros(size, size, dtype=torch.bool)
    for x, y, w, h in (boxes * size).tolist():
        found[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)] = True
    return found


def test_mixed_up_objects_of_both_with_the_windows_shares():
    boxes, labels, weights = mixed_up(
        told((0.5, 0.5, 0.2, 0.2)), told((0.1, 0.1, 0.1, 0.1), (0.2, 0.2, 0.1, 0.1)), 0.75
    )
    assert labels.tolist() == [0, 0, 1]
    assert weights.tolist() == [0.75, 0.25, 0.25]
    assert boxes[0].tolist() == told((0.5, 0.5, 0.2, 0.2))[0][0].tolist()


def test_cut_objects_wholly_in_or_out_stay_where_they_are():
    outside, inside, lost = (0.1, 0.1, 0.2, 0.2), (0.625, 0.625, 0.125, 0.25), (0.6, 0.6, 0.1, 0.1)
    boxes, labels, weights = cut_and_mixed(told(outside, lost), told(outside, inside), (4, 8, 4, 8), GRID, 0.3)
    torch.testing.assert_close(boxes, torch.tensor([outside, inside]))
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(weights, torch.ones(2))


def test_cut_objects_lose_the_part_that_is_covered():
    """A rectangle over x 0.5 to 0.875 and y 0 to 0.75 takes the right half of the one, and a bite out of the other."""
    first = told((0.5, 0.25, 0.5, 0.25), (0.5, 0.75, 0.9, 0.25))
    boxes, labels, weights = cut_and_mixed(first, told(), (0, 6, 4, 7), GRID, 0.3)
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(boxes, torch.tensor([[0.375, 0.25, 0.25, 0.25], [0.5, 0.75, 0.9, 0.25]]))
    torch.testing.assert_close(weights, torch.tensor([0.5, 1 - 0.375 / 0.9 / 2]))


def test_an_object_that_ends_at_the_rectangles_edge_is_covered_despite_rounding():
    """Pixels 0 to 1 and 20 to 27 of 40, rows 20 to 25 of them taken: in float32 the edge is not met."""
    thin = told((0.5 / 40, 23.5 / 40, 1 / 40, 7 / 40))
    boxes, _, _ = cut_and_mixed(thin, told(), (4, 5, 0, 1), GRID, 1e-6)
    torch.testing.assert_close(boxes[0], torch.tensor([0.5 / 40, 26 / 40, 1 / 40, 2 / 40]))


@given(st.data())
def test_boxes_fit_what_is_left_of_the_objects(data):
    """Pixels of the first window's object outside the rectangle, and of the second one's inside: the same boxes."""
    size = GRID[0] * PIXELS

    def box():
        low = [data.draw(st.integers(0, size - 2)) for _ in range(2)]
        high = [data.draw(st.integers(one + 1, size)) for one in low]
        x, y, w, h = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]
        return told((x / size, y / size, w / size, h / size))

    rows = sorted(data.draw(st.lists(st.integers(0, 8), min_size=2, max_size=2, unique=True)))
    columns = sorted(data.draw(st.lists(st.integers(0, 8), min_size=2, max_size=2, unique=True)))
    cut = (rows[0], rows[1], columns[0], columns[1])
    first, second = box(), box()
    within = torch.zeros(size, size, dtype=torch.bool)
    within[rows[0] * PIXELS : rows[1] * PIXELS, columns[0] * PIXELS : columns[1] * PIXELS] = True
    for one, nothing, seen in ((first, told(), ~within), (second, told(), within)):
        pair = (one, nothing) if seen is not within else (nothing, one)
        boxes, _, weights = cut_and_mixed(*pair, cut, GRID, 1e-6)
        left = filled(one[0]) & seen
        assert len(boxes) == int(left.any())
        if left.any():
            ys, xs = left.nonzero().unbind(1)
            low, high = torch.stack([xs.min(), ys.min()]), torch.stack([xs.max(), ys.max()]) + 1
            expected = torch.cat([(low + high) / 2, (high - low).float()]) / size
            torch.testing.assert_close(boxes[0], expected, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(weights[0], left.sum() / filled(one[0]).sum(), atol=1e-5, rtol=1e-5)


def test_a_rectangle_lies_on_the_grid():
    torch.manual_seed(0)
    for _ in range(100):
        top, bottom, left, right = rectangle(7, 3)
        assert 0 <= top < bottom <= 7
        assert 0 <= left < right <= 3


def test_a_mixed_batch_shows_the_patches_of_both():
    batch = Scenes(4).__getitems__([0, 1, 2, 3])
    torch.manual_seed(0)
    cut = mixed(batch, MixingSettings(cutmix=1.0))
    for n in range(4):
        own = (cut.features[n] == batch.features[n]).all(0)
        other = (cut.features[n] == batch.features[(n + 1) % 4]).all(0)
        assert (own ^ other).all()
        assert 0 < other.sum() < 64
    up = mixed(batch, MixingSettings(mixup=1.0))
    assert [len(boxes) for boxes in up.boxes] == [4] * 4
    for n in range(4):
        assert up.weights[n][:2].tolist() == [up.weights[n][0]] * 2
        torch.testing.assert_close(
            up.features[n], up.weights[n][0] * batch.features[n] + up.weights[n][2] * batch.features[(n + 1) % 4]
        )
    assert mixed(batch, MixingSettings()) is batch
