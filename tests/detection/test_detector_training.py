import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from emberformer.data_settings import DeepCrownSettings
from emberformer.detection.asking import Asking
from emberformer.detection.boxes import to_pixels
from emberformer.detection.checkpoint import load_detector
from emberformer.detection.coco_metrics import coco_scores
from emberformer.detection.detector import FireDetector
from emberformer.detection.distilling import Teaching
from emberformer.detection.found import Detections, Objects
from emberformer.detection.loading import MixedWindows, hardness
from emberformer.detection.losses import Targets
from emberformer.detection.training import DetectionTraining, _teaching, fit_detector
from emberformer.detection_settings import AskingSettings, CurriculumSettings, DetectionSettings
from emberformer.errors import InputError
from emberformer.settings import Settings
from emberformer.training_settings import LoggingSettings
from tests.detection.scenes import Scenes

TINY = {"preset": "small", "d_model": 16, "heads": 2, "queries": 6, "layers": 2, "groups": 2, "epochs": 3}


def configuration(**changes) -> Settings:
    source = DeepCrownSettings(root=Path("."), minutes_per_frame=30, bands={"1": {"kind": "continuous"}})  # type: ignore[arg-type]
    detection = DetectionSettings.model_validate(TINY | {"batch_size": 4, "learning_rate": 2e-3} | changes)
    return Settings(
        name="boxes", datasets={"made_up": source}, detection=detection, logging=LoggingSettings(wandb="disabled")
    )


def fitted(
    folder: Path, settings: Settings, data: str = "a", training: Scenes | None = None, features: str = "x"
) -> Path:
    training = training or Scenes(8)
    return fit_detector(settings, folder, training, Scenes(4, seed=1), [data], {"made_up": features}, 0, "cpu", 1)


def curve(folder: Path, name: str) -> list[float]:
    with open(folder / "metrics.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


HARDER = {"mixing": {"cutmix": 0.5}, "curriculum": {"windows": 0.5, "queries": 3, "simple_matching": True}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Checkpoint of a run that was not stopped."""
    return fitted(tmp_path_factory.mktemp("whole"), configuration(**HARDER))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(whole, tmp_path, monkeypatch):
    settings, first = configuration(**HARDER), load_detector(whole)

    class Stopped(Exception):
        pass

    def stop(self: DetectionTraining) -> None:
        if self.current_epoch == 2:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(DetectionTraining, "on_train_epoch_end", stop, raising=False)
        with pytest.raises(Stopped):
            fitted(tmp_path, settings)
    again = load_detector(fitted(tmp_path, settings)).detector.state_dict()
    for name, value in first.detector.state_dict().items():
        assert torch.equal(value, again[name]), name


def test_what_is_kept_is_the_average_of_the_best_epoch(whole):
    best = torch.load(whole.parent / "best.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    told = load_detector(whole)
    assert told.categories == ("front", "spot")
    assert told.about["validation"] == pytest.approx(max(curve(whole.parent, "val/ap")))
    detector = told.detector
    assert not detector.training
    for name, value in detector.state_dict().items():
        assert torch.equal(value, best[f"average.module.{name}"])
    other = [not torch.equal(best[f"detector.{name}"], value) for name, value in detector.state_dict().items()]
    assert any(other)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    samples = Scenes(4)
    samples.windows[2][0][:] = torch.nan
    with pytest.raises(InputError, match="no numbers"):
        fitted(tmp_path, configuration(), training=samples)


def test_the_curriculum_begins_with_few_and_large_objects():
    samples = Scenes(10, objects=1)
    for n, (features, boxes, labels) in enumerate(samples.windows):
        boxes[:, 2:] = 0.1 + 0.05 * n  # the last is the largest
        samples.windows[n] = (features, boxes, labels)
    samples.windows[4] = (samples.windows[4][0], torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert np.argsort(hardness(samples)).tolist() == [4, 9, 8, 7, 6, 5, 3, 2, 1, 0]
    order = MixedWindows(samples, 3, 0, CurriculumSettings(windows=0.3, share=0.5), 8)
    seen = []
    for epoch in (0, 2, 4, 7):
        order.begin(epoch)
        assert sum(len(batch) for batch in order) == 10
        seen.append(sorted(set(order.order())))
    assert seen[0] == [4, 8, 9]
    assert seen[1] == [4, 5, 6, 7, 8, 9]
    assert seen[2] == seen[3] == list(range(10))
    assert samples.epoch == 7


def test_queries_and_matching_follow_the_curriculum(monkeypatch):
    of = DetectionSettings.model_validate(
        TINY | {"epochs": 4, "curriculum": {"queries": 2, "simple_matching": True, "share": 0.5}}
    )
    training, found = DetectionTraining(FireDetector(of, 8, 2), 10, ("front", "spot")), []
    for epoch in range(4):
        monkeypatch.setattr(DetectionTraining, "current_epoch", epoch)
        training.on_train_epoch_start()
        found.append((training.detector.queries, training.detector.loss.simple_matching))
    assert found == [(2, True), (4, True), (6, False), (6, False)]


def test_without_windows_of_validation_no_training_begins(tmp_path):
    with pytest.raises(InputError, match="no windows to train or to choose on"):
        fit_detector(configuration(), tmp_path, Scenes(8), Scenes(0), ["a"], {"made_up": "x"}, 0, "cpu", 1)


def test_a_student_learns_from_its_teacher(whole, tmp_path):
    told = {"teacher": whole, "score": 0.0}
    path = fitted(tmp_path / "student", configuration(d_model=32, layers=1, distillation=told))
    assert load_detector(path).detector.of.layers == 1
    taught = curve(tmp_path / "student", "train/taught_features")
    assert taught[-1] < taught[0]
    other = configuration(distillation=told, scales=(1.0,))
    with pytest.raises(InputError, match="scales"):
        fitted(tmp_path / "other", other)
    with pytest.raises(InputError, match="features \\['x'\\]"):
        fitted(tmp_path / "other", configuration(distillation=told), features="of other weights")


def test_a_teacher_may_lie_in_the_home_folder(whole, monkeypatch):
    monkeypatch.setenv("HOME", str(whole.parent))
    samples = Scenes(2)
    of = configuration(distillation={"teacher": "~/model.ckpt"}).detection
    assert of is not None
    student = FireDetector(of, samples.channels, len(samples.categories))
    assert _teaching(student, samples, of, {"made_up": "x"}) is not None


def test_a_checkpoint_of_another_version_is_named(whole, tmp_path):
    content = torch.load(whole, weights_only=True)
    settings, weights = content["settings"] | {"renamed": 1}, dict(content["state"])
    weights.popitem()
    for other, named in (({"settings": settings}, "renamed"), ({"state": weights}, "Missing key")):
        torch.save(content | other, tmp_path / "model.ckpt")
        with pytest.raises(InputError, match=rf"(?s){named}.*this version trains.*train again"):
            load_detector(tmp_path / "model.ckpt")


def test_a_teacher_says_what_it_is_sure_of(tmp_path):
    torch.manual_seed(0)
    of = DetectionSettings.model_validate(TINY | {"distillation": {"teacher": tmp_path, "score": 0.4}})
    teacher = FireDetector(of, 8, 2).eval()
    batch = Scenes(2).__getitems__([0, 1])
    assert of.distillation is not None
    teaching = Teaching(teacher, teacher, of.distillation)
    said = teacher(batch.features, batch.valid)
    said.layers[-1].logits[:] = -5
    said.layers[-1].logits[1, 3, 1] = 1.0
    told = teaching.detections(said)
    assert [len(boxes) for boxes in told.boxes] == [0, 1]
    assert told.labels[1].tolist() == [1]
    assert torch.equal(told.boxes[1][0], said.pred_boxes[1, 3])
    assert told.weights[1].item() == pytest.approx(torch.tensor(1.0).sigmoid().item())


def test_a_detector_learns_eight_windows_by_heart():
    """AP50 above 0.95, by 80 steps of the smallest detector."""
    torch.manual_seed(0)
    samples = Scenes(8, grid=(6, 6))
    changes = {"d_model": 32, "heads": 4, "queries": 6, "groups": 3}
    detector = FireDetector(DetectionSettings.model_validate(TINY | changes), 8, 2)
    optimizer, batch = torch.optim.AdamW(detector.parameters(), 3e-3), samples.__getitems__(list(range(8)))
    for _ in range(80):
        said = detector(batch.features, batch.valid, Targets.of(batch))
        assert said.loss is not None
        optimizer.zero_grad()
        said.loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
    found = [
        Detections(to_pixels(of.boxes.double().numpy(), (100, 100)), of.labels.numpy(), of.scores.double().numpy())
        for of in Asking(detector.eval(), AskingSettings())(batch.features, batch.valid)
    ]
    told = [
        Objects.of(to_pixels(boxes.double().numpy(), (100, 100)), labels.numpy())
        for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
    ]
    scores = coco_scores(told, found, samples.categories)
    assert scores["AP50"] > 0.95
    assert scores["AP"] > 0.6


def test_a_detector_learns_in_mixed_precision(tmp_path):
    path = fitted(tmp_path, configuration(precision="bf16-mixed", epochs=1, refinement=True))
    assert all(torch.isfinite(value).all() for value in load_detector(path).detector.state_dict().values())
    assert np.isfinite(curve(tmp_path, "val/loss")).all()
