# Feature stores, or camera images -> a detector of objects as boxes: what it finds in the test, and its scores.
from emberformer.settings import expand as written_out

DETECTOR = layout.detector("{seed}")
DETECTOR_ASKED = settings.detection.model_dump_json(include={"asking"}) if settings.detection else ""
OF_CAMERAS = settings.detection is not None and settings.detection.cameras is not None
ANNOTATIONS = []
if OF_CAMERAS:
    ANNOTATIONS = [written_out(one.annotations) for one in settings.detection.cameras.sets]
    DETECTION_DATA = [layout.camera_images / STORE]
else:
    DETECTION_DATA = [layout.split, *ALL_FIRES, *map(ancient, feature_stores(layout))]


rule detection_images:
    """Features of camera images and of their views."""
    input:
        ANNOTATIONS,
    output:
        layout.camera_images / STORE,
    log:
        LOGS / "detection_images.log",
    benchmark:
        LOGS / "detection_images.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        gpu=1,
        mem_mb=8000,
        runtime=720,
    message:
        "features of camera images: {output}"
    shell:
        """
        emberformer detection images \
            --config {resources.config:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule detection_train:
    """The detector; an interrupted training goes on from `last.ckpt`."""
    input:
        DETECTION_DATA,
    output:
        update(DETECTOR / "model.ckpt"),  # kept where it was trained on the same data
    log:
        LOGS / "train" / "detector-seed-{seed}.log",
    benchmark:
        LOGS / "train" / "detector-seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        gpu=1,
        mem_mb=16000,
        runtime=720,
    params:
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
    message:
        "train the detector, seed {wildcards.seed}: {output}"
    shell:
        """
        emberformer detection train \
            --config {resources.config:q} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule detection_detect:
    """What the detector finds in the test: COCO results, and a GeoPackage a data set of fires."""
    input:
        DETECTION_DATA,
        rules.detection_train.output,
        code("detection.detect"),
    output:
        layout.detections("{seed}", "test"),
        [] if OF_CAMERAS else [layout.detections("{seed}", "test").with_name(f"test-{name}.gpkg") for name in DATASETS],
    log:
        LOGS / "detect" / "detector-seed-{seed}.log",
    benchmark:
        LOGS / "detect" / "detector-seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        asked=DETECTOR_ASKED,
    message:
        "detect with seed {wildcards.seed}: {output[0]}"
    shell:
        """
        emberformer detection detect \
            --config {resources.config:q} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule detection_evaluate:
    """Scores of the detectors of all seeds, beside the pieces of a forecast."""
    input:
        DETECTION_DATA,
        expand(layout.detections("{seed}", "test"), seed=settings.training.seeds),
        rival_forecasts,
        code("detection.evaluation"),
    output:
        report(layout.detection / "scores.csv", category="Detection", caption="../report/detection_scores.rst"),
        report(layout.detection / "found.png", category="Detection", caption="../report/found.rst"),
    log:
        LOGS / "detection_evaluate.log",
    benchmark:
        LOGS / "detection_evaluate.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=60,
    params:
        seeds=settings.training.seeds,
    message:
        "score the detections: {output[0]}"
    shell:
        """
        emberformer detection evaluate \
            --config {resources.config:q} \
            >{log:q} 2>&1
        """


DETECTION = rules.detection_evaluate.output
