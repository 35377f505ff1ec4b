"""Settings of the detector: its network, its losses, its training, and how it is asked (docs/detection.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from emberformer.model_settings import LoraSettings
from emberformer.stage import GradientClip, Heads, Precision, Stage, Warmup, WeightDecay, check_shares, merged

SCALES = (2.0, 1.0, 0.5)
Share = Annotated[float, Field(ge=0, le=1)]
PRESETS: dict[str, dict[str, Any]] = {
    "base": {"queries": 100, "layers": 6, "heads": 8},
    "small": {"queries": 50, "layers": 3, "heads": 8},
}
RANKS = {"base": 4, "small": 2}  # of adapters, where there are any


def without_preset(told: dict[str, Any]) -> dict[str, Any]:
    """Detector settings as plain types, without what their preset set, so that another one can.

    >>> without_preset({"preset": "base", "queries": 100, "layers": 4, "heads": 8, "tail": None})
    {'preset': 'base', 'layers': 4, 'tail': None}
    """
    own = PRESETS[told["preset"]]
    kept = {key: value for key, value in told.items() if key not in own or own[key] != value}
    tail = told["tail"]
    if tail is not None and tail["lora"]["rank"] == RANKS[told["preset"]]:
        kept["tail"] = tail | {"lora": {key: value for key, value in tail["lora"].items() if key != "rank"}}
    return kept


class FireObjectSettings(Stage):
    """What an object of a fire is, and which windows are served."""

    horizons: tuple[Literal["now", "next"], ...] = Field(
        default=("now", "next"), min_length=1, description="now: what is new in the newest frame; next: one frame later"
    )
    connectivity: Literal[4, 8] = Field(
        default=8, description="neighbours of a pixel that make one piece with it: 4, or 8 with those across a corner"
    )
    reach: int = Field(default=2, ge=0, description="pixels by which pieces are grown before they are joined")
    spot_distance: float = Field(
        default=3.0, gt=0, description="pixels about a spot in which nothing had burned a frame before"
    )
    least_front: int = Field(default=4, ge=1, description="pixels of the smallest front")
    least_spot: int = Field(default=1, ge=1, description="pixels of the smallest spot")
    cells: int = Field(
        default=1,
        ge=1,
        description="cells on a side of a patch, of which the burned share is told; a divisor of its pixels",
    )
    crop: int | None = Field(default=12, ge=2, description="side of the training window in patches; null: whole")
    flip: bool = Field(default=True, description="mirror and turn windows while training")
    steps_per_fire: int | None = Field(default=6, ge=1, description="frames of each training fire; null: all")
    validation_steps_per_fire: int | None = Field(
        default=4, ge=1, description="frames of each validation fire; null: all"
    )
    spot_reach_m: float = Field(default=300.0, gt=0, description="distance within which a spot counts as found")
    spot_score: Share = Field(default=0.2, description="of the detections that may find a spot")


class CameraSetSettings(Stage):
    """A COCO set of camera images."""

    annotations: Path = Field(description="the COCO file")
    images: Path = Field(description="folder of its images")
    split: Literal["train", "validation", "test"] | None = Field(
        default=None, description="that all of it belongs to; null: it is divided"
    )
    group: str | None = Field(
        default=None,
        description="key of an image's entry that says what stays together, such as video_id, or `folder`; null: "
        "every image by itself",
    )


class CameraSettings(Stage):
    """Camera images instead of fires: they pass the same backbone into an image store."""

    sets: tuple[CameraSetSettings, ...] = Field(min_length=1, description="of images, with boxes")
    categories: tuple[str, ...] | None = Field(default=None, description="null: those of the first set")
    side: int = Field(default=518, ge=14, description="of the square that images are fitted into, in pixels")
    views: int = Field(default=4, ge=1, description="of a training image, itself among them")
    mosaic: Share = Field(default=0.3, description="share of the views that show parts of four images")
    zoom: tuple[float, float] = Field(
        default=(0.6, 1.6), description="least and greatest factor of size of a view that is no mosaic"
    )
    mirror: Share = Field(default=0.5, description="share of the views that are mirrored east-west")
    paste: Share = Field(
        default=0.3,
        description="share of the views into which objects of other images are pasted, of each category as often",
    )
    pasted: int = Field(default=3, ge=0, description="objects pasted into a view at most")
    jitter: Share = Field(
        default=0.3,
        description="greatest change of a view's brightness, contrast and saturation, as a share; 0: colours stay",
    )
    train: Share = Field(default=0.7, description="share of the images, where a set is divided")
    validation: Share = Field(default=0.15, description="share by which the epoch is chosen")
    test: Share = Field(default=0.15, description="share that is scored; train, validation and test add up to 1")
    seed: int = Field(default=0, description="of the division and of the views")

    @model_validator(mode="after")
    def _adds_up(self) -> CameraSettings:
        check_shares(self.train, self.validation, self.test)
        return self


class DetectionLossSettings(Stage):
    """Weights of the terms; the same for every decoder layer and for the proposals."""

    classification: float = Field(default=1.0, ge=0, description="IoU-aware cross-entropy (arXiv:2406.03459)")
    l1: float = Field(default=5.0, ge=0, description="of centre, width and height as shares of the window")
    giou: float = Field(default=2.0, ge=0, description="1 - generalised IoU of the boxes")
    auxiliary: bool = Field(default=True, description="every decoder layer has a loss of its own; false: the last")
    patches: float = Field(default=0.0, ge=0, description="cross-entropy of whether a patch's centre is in a box")
    iou_alpha: float = Field(
        default=0.25, ge=0, le=1, description="the score that is aimed at is score^alpha IoU^(1 - alpha)"
    )
    class_cost: float = Field(default=2.0, ge=0, description="of the matching")
    l1_cost: float = Field(default=5.0, ge=0, description="of the matching, by centre, width and height")
    giou_cost: float = Field(default=2.0, ge=0, description="of the matching, by generalised IoU")


class CurriculumSettings(Stage):
    """What becomes harder while training; each over the first `share` of the epochs."""

    share: float = Field(default=0.5, gt=0, le=1, description="of the epochs, after which all is as without")
    windows: float = Field(
        default=1.0, gt=0, le=1, description="share of the windows, those with few and large boxes, to begin with"
    )
    queries: int | None = Field(default=None, ge=1, description="queries to begin with; null: all")
    simple_matching: bool = Field(default=False, description="match by class and L1 alone, until then")


class MixingSettings(Stage):
    """Windows mixed on the grid of patches (docs/detection.md)."""

    mixup: Share = Field(default=0.0, description="chance of a window to be added to another (arXiv:1710.09412)")
    cutmix: Share = Field(default=0.0, description="chance of a rectangle of another window's patches in it")
    alpha: float = Field(default=8.0, gt=0, description="of the Beta distribution of a window's share in the sum")
    visible: float = Field(
        default=0.3, gt=0, le=1, description="share of an object that must be left of it, else it is none"
    )


class TailSettings(Stage):
    """The backbone's last blocks train too, by adapters: of fires from cached hidden states, of cameras from pixels."""

    blocks: int = Field(
        default=2, ge=1, description="last blocks; of fires, `features.layers` must hold the block before them"
    )
    lora: LoraSettings = Field(
        default=LoraSettings(rank=4), description="the adapters; without a rank of their own that of the preset"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="of the adapters, the highest")


class DetectionDistillationSettings(Stage):
    """A trained detector that this one learns from, on the same features."""

    teacher: Path = Field(description="checkpoint of `emberformer detection train`")
    features: float = Field(default=1.0, ge=0, description="weight of telling the teacher's feature map")
    predictions: float = Field(default=1.0, ge=0, description="weight of the loss against the teacher's detections")
    score: float = Field(default=0.2, ge=0, le=1, description="of the teacher, below which it says nothing")


class AskingSettings(Stage):
    """How a trained detector is asked; each trades accuracy for time (docs/detection.md)."""

    minimum_score: Share = Field(default=0.05, description="detections below it are left out")
    most: int = Field(default=100, ge=1, description="detections of a window")
    queries: int | None = Field(default=None, ge=1, description="best proposals that become queries; null: as trained")
    adaptive: float | None = Field(
        default=None, gt=0, description="queries as this many times the sum of the proposals' scores; null: all"
    )
    layers: int | None = Field(default=None, ge=1, description="decoder layers that are passed; null: all")
    settled: float | None = Field(
        default=None,
        gt=0,
        description="a window is done when no score, and no box by 1 - IoU times its score, changes by more in a layer",
    )
    keep: float = Field(default=1.0, gt=0, le=1, description="share of the queries, the best, that pass a layer")
    values_at_once: bool = Field(default=False, description="values of all layers in one product, once a map")


class DetectionSettings(Stage):
    """A transformer that tells objects as boxes from cached features (LW-DETR, arXiv:2406.03459)."""

    # Keys that say how the detector is asked, and nothing of what is trained
    ASKING: ClassVar[tuple[str, ...]] = ("asking", "rival")

    preset: Literal["base", "small"] = Field(
        default="base",
        description="base: 100 queries, 6 layers, 8 heads, adapters of rank 4; small: 50, 3, 8, 2; other keys go first",
    )
    # What is told and asked for
    fires: FireObjectSettings = Field(
        default=FireObjectSettings(),
        description="what an object of a fire is, and which windows are served; without meaning for `cameras`",
    )
    cameras: CameraSettings | None = Field(default=None, description="null: the objects are those of the fires")
    rival: Literal["network", "dilation", "logistic"] | None = Field(
        default="network",
        description="forecast whose connected pieces the detector is compared with; network: of the last phase's "
        "first seed; null: none",
    )
    # The network
    d_model: int = Field(
        default=128, ge=16, description="length of a query and of a cell of the pyramid; a multiple of heads and of 4"
    )
    queries: int = Field(
        default=100, ge=1, description="boxes that the decoder tells of a window; no window can have more objects"
    )
    layers: int = Field(default=6, ge=1, description="of the decoder; none shares a weight with another")
    heads: Heads = 8
    groups: int = Field(
        default=4, ge=1, description="of queries in training, each matched for itself (arXiv:2207.13085)"
    )
    points: int = Field(default=4, ge=1, description="that a head looks at on each level")
    scales: tuple[float, ...] = Field(
        default=SCALES, min_length=1, description="levels of the pyramid, by cells a patch on a side"
    )
    decoder: Literal["deformable", "standard"] = Field(
        default="deformable", description="standard: every query looks at every cell (arXiv:2005.12872)"
    )
    two_stage: bool = Field(default=True, description="queries begin at the best proposals; false: at learned places")
    level_heads: bool = Field(default=False, description="heads of their own for the objects of each level")
    refinement: bool = Field(default=False, description="one more step for the box, from the finest level inside it")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of activations that the decoder drops while training"
    )
    # Training
    loss: DetectionLossSettings = Field(
        default=DetectionLossSettings(), description="weights of the loss's terms and of the matching's costs"
    )
    curriculum: CurriculumSettings = Field(
        default=CurriculumSettings(), description="what becomes harder while training"
    )
    mixing: MixingSettings = Field(default=MixingSettings(), description="windows that are mixed while training")
    tail: TailSettings | None = Field(default=None, description="adapters on the backbone; null: it is frozen")
    distillation: DetectionDistillationSettings | None = Field(default=None, description="null: no teacher")
    epochs: int = Field(default=40, ge=1, description="all of them; the best by validation is kept")
    batch_size: int = Field(default=8, ge=1, description="windows a batch")
    learning_rate: float = Field(default=5e-4, gt=0, description="the highest; see `warmup`")
    weight_decay: WeightDecay = 1e-4
    warmup: Warmup = 0.05
    gradient_clip: GradientClip = 1.0
    average: float = Field(
        default=0.99, ge=0, lt=1, description="of the weights' exponential average, by which is detected"
    )
    precision: Precision = "32-true"
    asking: AskingSettings = Field(
        default=AskingSettings(), description="how the trained detector is asked; nothing is trained anew"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_sets_its_keys(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        preset = content.get("preset", "base")
        own = dict(PRESETS.get(preset, {}))
        if isinstance(content.get("tail"), dict) and preset in RANKS:
            own["tail"] = {"lora": {"rank": RANKS[preset]}}
        return merged(own, content)

    @model_validator(mode="after")
    def _it_fits(self):
        if self.d_model % self.heads or self.d_model % 4:
            raise ValueError(f"d_model {self.d_model} must be divisible by heads {self.heads} and by 4")
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales: each once")
        if unknown := set(self.scales) - set(SCALES):
            raise ValueError(f"scales: {sorted(unknown)}; only 2, 1 and 0.5 there are")
        if self.level_heads and not self.two_stage:
            raise ValueError("level_heads: the level is that of a proposal, so two_stage: true")
        if (first := self.curriculum.queries) is not None and first > self.queries:
            raise ValueError(f"curriculum.queries: {first}, and there are {self.queries}")
        loss = self.loss
        if not (loss.class_cost or loss.l1_cost):
            raise ValueError("loss: class_cost and l1_cost cannot both be 0")
        if self.asking.values_at_once and self.decoder != "deformable":
            raise ValueError("asking.values_at_once is of decoder: deformable")
        return self
