"""Routes of the contract that an embedded Nucleus does not support: each replies 501 with the reason.

Some need Scale's workforce or servers. The others need computations that this version does not have; the data that
they would work on (items, annotations, predictions) is stored and returned as usual.
"""

from __future__ import annotations

from flask import Blueprint, Response

from nucleus_pandas.errors import UnsupportedError

blueprint = Blueprint("unsupported", __name__)

_SCENES = (
    "Scenes, their tracks and point clouds are not supported by this server; a dataset created with is_scene=False "
    "takes their images as items, and cuboids as annotations."
)
_EMBEDDINGS = "Indexes of embeddings are not supported by this server."
_AUTOTAGS = "Autotags, which need indexes of embeddings, are not supported by this server; tag items in their metadata."
_DUPLICATES = "Near duplicates are not detected by this server; compare hashes of the images before uploading."
_WEIGHTS = "Weights of models are not stored by this server; record their location in the model's metadata."
_TASKS = "Labeling tasks exist only in Scale's hosted service; send their results as annotations."
_PROJECTS = "Labeling projects and tasks exist only in Scale's hosted service; append items and annotate them instead."
_EXPORTED_EMBEDDINGS = "Embeddings are computed only by Scale's hosted service; this server has none to export."
_LAUNCH = "Running a model needs Scale Launch, a hosted service; send predictions instead."
_SCENARIOS = "Scenario tests are not supported by this server; evaluate the model on a benchmark instead."

ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", "/task/<id:name>/frame/<id:number>", _TASKS),
    ("POST", "/dataset/create_from_project", _PROJECTS),
    ("POST", "/dataset/<id:name>/ingest_tasks", _PROJECTS),
    ("GET", "/dataset/<id:name>/exportScaleTaskInfo", _PROJECTS),
    ("GET", "/slice/<id:name>/exportScaleTaskInfo", _PROJECTS),
    ("POST", "/slice/<id:name>/<id:project>/send_to_labeling", _PROJECTS),
    ("POST", "/<id:name>/upload_scenes", _SCENES),
    ("POST", "/<id:name>/upload_video_scenes", _SCENES),
    ("GET", "/dataset/<id:name>/scenes_list", _SCENES),
    ("GET DELETE", "/dataset/<id:name>/scene/<rest:key>", _SCENES),
    ("GET POST DELETE", "/dataset/<id:name>/tracks", _SCENES),
    ("POST", "/dataset/<id:name>/exportForTrainingByScene", _SCENES),
    ("POST", "/dataset/<id:name>/model/<id:model>/pointcloud/<rest:key>", _SCENES),
    ("GET", "/dataset/<id:name>/embeddings", _EXPORTED_EMBEDDINGS),
    ("GET", "/slice/<id:name>/embeddings", _EXPORTED_EMBEDDINGS),
    ("POST", "/dataset/<id:name>/async_export_embeddings", _EXPORTED_EMBEDDINGS),
    ("GET", "/dataset/<id:name>/embeddingIndexes", _EMBEDDINGS),
    ("POST", "/dataset/<id:name>/indexingStatus", _EMBEDDINGS),
    ("POST DELETE", "/indexing/<id:name>", _EMBEDDINGS),
    ("POST", "/indexing/<id:name>/<any(setPrimary, setContinuous):what>", _EMBEDDINGS),
    ("POST", "/indexing/<id:name>/internal/<any(image, object):what>", _EMBEDDINGS),
    ("GET", "/<id:name>/list_autotags", _AUTOTAGS),
    ("POST", "/dataset/<id:name>/autotag/<id:tag>/taggedItems", _AUTOTAGS),
    ("GET", "/dataset/<id:name>/autotag/<id:tag>/trainingItems", _AUTOTAGS),
    ("POST DELETE", "/autotag/<id:name>", _AUTOTAGS),
    ("GET", "/autotag/<id:name>/refinementMetrics", _AUTOTAGS),
    ("POST", "/autocurate/<id:name>/single_model_entropy/<rest:key>", _AUTOTAGS),
    ("POST", "/dataset/<id:name>/<any(deduplicate, deduplicate_async):what>", _DUPLICATES),
    ("GET DELETE", "/model/<id:name>/weights", _WEIGHTS),
    ("GET", "/model/<id:name>/weights/download", _WEIGHTS),
    ("POST", "/model/run/<id:name>/", _LAUNCH),
    ("POST", "/model/<id:name>/weights/<any(presign, finalize):what>", _WEIGHTS),
    ("GET POST DELETE", "/validate/<rest:key>", _SCENARIOS),
)


def _reject(reason: str, **ids: str) -> Response:
    raise UnsupportedError(reason)


for number, (methods, rule, reason) in enumerate(ROUTES):
    blueprint.add_url_rule(rule, f"reject_{number}", _reject, methods=methods.split(), defaults={"reason": reason})
