"""What a user writes, for the type checkers: mypy looks at it as strictly as at the package."""

from __future__ import annotations

import pandas as pd

import nucleus_pandas as npd


def upload(items: pd.DataFrame, boxes: pd.DataFrame, predictions: pd.DataFrame, store: str) -> pd.DataFrame:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Street scenes", exist_ok=True)
        added: npd.UploadResult = npd.append(items, dataset, metadata=["weather", "hour"], if_exists="update")
        rejected: pd.DataFrame = added.failed
        problems: pd.DataFrame = npd.check(boxes, "annotations", bbox=("x1", "y1", "x2", "y2"), bbox_format="xyxy")
        if len(rejected) or len(problems):
            return problems
        npd.annotate(boxes, dataset, columns={"label": "class"}, on_error="collect")
        model = client.add_model("Detector", reference_id="det-0.5")
        run: npd.ModelRun = dataset.create_model_run(model)
        statuses: pd.DataFrame = npd.predict(predictions, run, progress=False).rows
        run.commit()
        whole: pd.DataFrame = npd.read_items(dataset, metadata_as="columns", dtype_backend="pyarrow")
        some: pd.DataFrame = dataset.annotations.refloc[["a.jpg", "b.jpg"]]
        for chunk in run.predictions.iter_frames(chunksize=1_000):
            some = pd.concat([some, chunk])
        evaluation: npd.RunEvaluation = run.evaluate(iou_threshold=0.75, allowed_label_matches=[("car", "vehicle")])
        offline: npd.Evaluation = npd.evaluate(predictions, boxes)
        offline = npd.evaluate(predictions, dataset)
        if evaluation.stale or evaluation.summary["AP"] < offline.summary["AP"]:
            return run.examples("FP", sort_by="confidence", limit=20)
        files: pd.DataFrame = dataset.to_parquet("export", what=["items", "predictions"], runs=[run], overwrite=True)
        names: pd.DataFrame = client.datasets
        return pd.concat([statuses, whole, some, names, files, run.matches(0.5)])


def evaluate(truth: pd.DataFrame, predictions: pd.DataFrame, items: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    found: npd.Evaluation = npd.evaluate(predictions, truth, items=items, iou_threshold=0.6, max_dets=(1, 10, 300))
    pairs = [("car", "vehicle"), ("bus", "vehicle")]
    other = npd.evaluate(
        predictions, truth, allowed_label_matches=pairs, engine="hotcoco", area_ranges={"tiny": (0, 256)}
    )
    groups: pd.DataFrame = found.by("metadata.weather")
    late: pd.DataFrame = found.by(lambda image: image.endswith("night.jpg"))
    comparison: npd.Comparison = found.compare(other)
    tables = [found.per_class, found.tide, found.suspects(min_confidence=0.7), comparison.won, groups, late]
    ap: float = found.summary["AP"]
    return ap, pd.concat(tables)


def look(client: npd.NucleusClient, dataset: npd.Dataset, run: npd.ModelRun, boxes: pd.DataFrame) -> str:
    first: npd.Gallery = dataset.items.show(6, size=200)
    both: npd.Gallery = npd.show(boxes, 12, items=dataset, ground_truth=dataset, predictions=run, color="match_type")
    wrong = npd.show(run.examples("FP", sort_by="confidence"), bbox=("x1", "y1", "x2", "y2"), bbox_format="xyxy")
    page = wrong.save("gallery.html")
    return page.read_text() + first.html + both.html
