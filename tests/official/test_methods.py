"""Every public method of the official client, and what becomes of it on an embedded Nucleus.

The classes are looked into, so that a method that a later release brings fails here until it has its line.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

pytestmark = [
    pytest.mark.newest,
    # most of what names a run or an index is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]

CLASSES = ("NucleusClient", "Dataset", "Slice", "Model", "ModelRun")


class At(NamedTuple):
    """What calls begin with: the package, a client, a dataset, a model of the official client, and a folder."""

    nucleus: Any
    client: Any
    dataset: Any
    model: Any
    folder: Path

    def slice(self) -> Any:
        """Create a slice."""
        return self.dataset.create_slice("A slice")


class Passes(NamedTuple):
    """It works: a test that calls it, in one of the modules below."""

    test: str


class Refused(NamedTuple):
    """It needs what only Scale's service has, or a later step brings: 501, with these words."""

    call: Callable[[At], Any]
    words: str


class Apart(NamedTuple):
    """It asks no server, or needs another package."""

    reason: str


Verdict: TypeAlias = Passes | Refused | Apart

MODULES = (
    "test_items",
    "test_ground_truth",
    "test_predictions",
    "test_hostile_ids",
    "test_exports",
    "test_both_clients",
    "test_evaluation",
    "test_data",
    "test_slices",
    "test_queries",
)

SHARED = ("objects", "conftest")

SCENES, EMBEDDINGS = "Scenes, their tracks", "Indexes of embeddings"

TABLE: dict[str, Verdict] = {
    # Datasets
    "NucleusClient.create_dataset": Passes("test_a_created_dataset_describes_itself"),
    "NucleusClient.create_dataset_from_dir": Passes("test_a_folder_becomes_a_dataset_of_its_name"),
    "NucleusClient.create_dataset_from_project": Refused(
        lambda at: at.client.create_dataset_from_project("prj", 1, "D"), "Labeling projects"
    ),
    "NucleusClient.get_dataset": Passes("test_a_created_dataset_describes_itself"),
    "NucleusClient.list_datasets": Passes("test_datasets_are_listed"),
    "NucleusClient.datasets": Passes("test_datasets_are_listed"),
    "NucleusClient.dataset_info": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.delete_dataset": Passes("test_what_is_deleted_is_gone"),
    "NucleusClient.delete_dataset_item": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.delete_annotations": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.get_dataset_items": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.dataitem_ref_id": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.dataitem_iloc": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.dataitem_loc": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.ingest_tasks": Refused(
        lambda at: at.client.ingest_tasks(at.dataset.id, {"tasks": ["t"]}), "Labeling projects"
    ),
    "Dataset.name": Passes("test_a_created_dataset_describes_itself"),
    "Dataset.is_scene": Passes("test_a_created_dataset_describes_itself"),
    "Dataset.use_privacy_mode": Passes("test_a_created_dataset_describes_itself"),
    "Dataset.size": Passes("test_a_created_dataset_describes_itself"),
    "Dataset.info": Passes("test_info_of_a_dataset"),
    "Dataset.get_tags": Passes("test_tags_of_a_dataset"),
    "Dataset.add_tags": Passes("test_tags_of_a_dataset"),
    "Dataset.remove_tags": Passes("test_tags_of_a_dataset"),
    # Items
    "Dataset.append": Passes("test_an_append_is_a_completed_job_without_errors"),
    "Dataset.add_items_from_dir": Passes("test_a_folder_becomes_a_dataset"),
    "Dataset.items": Passes("test_remote_items_come_back_equal_and_in_order"),
    "Dataset.items_generator": Passes("test_items_come_page_by_page"),
    "Dataset.iloc": Passes("test_a_hostile_id_is_found_and_deleted"),
    "Dataset.loc": Passes("test_a_hostile_id_is_found_and_deleted"),
    "Dataset.refloc": Passes("test_a_hostile_id_is_found_and_deleted"),
    "Dataset.delete_item": Passes("test_a_hostile_id_is_found_and_deleted"),
    "Dataset.update_item_metadata": Passes("test_an_update_of_metadata_merges"),
    "Dataset.query_items": Passes("test_items_are_queried"),
    "Dataset.ingest_tasks": Refused(lambda at: at.dataset.ingest_tasks(["t"]), "Labeling projects"),
    # Ground truth
    "Dataset.annotate": Passes("test_every_type_of_annotation_comes_back_equal"),
    "Dataset.ground_truth_loc": Passes("test_one_annotation_is_found_by_its_names"),
    "Dataset.delete_annotations": Passes("test_deleted_annotations_are_gone"),
    "Dataset.add_taxonomy": Passes("test_a_taxonomy_is_made_once_and_grows"),
    "Dataset.delete_taxonomy": Passes("test_a_deleted_taxonomy_takes_its_annotations_along"),
    "Dataset.items_and_annotations": Passes("test_items_come_with_their_annotations"),
    "Dataset.items_and_annotation_generator": Passes("test_items_come_with_their_annotations"),
    "Dataset.items_and_annotation_chip_generator": Refused(
        lambda at: list(at.dataset.items_and_annotation_chip_generator(8, 8, str(at.folder))), "chips"
    ),
    "Dataset.export_class_labels": Passes("test_labels_of_a_dataset"),
    "Dataset.export_scale_task_info": Refused(lambda at: at.dataset.export_scale_task_info(), "Labeling projects"),
    "Dataset.evaluation_label_schema": Passes("test_labels_of_a_dataset"),
    # Models and runs
    "NucleusClient.create_model": Passes("test_a_model_describes_itself"),
    "NucleusClient.add_model": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.get_model": Passes("test_a_model_describes_itself"),
    "NucleusClient.list_models": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.models": Passes("test_a_model_describes_itself"),
    "NucleusClient.delete_model": Passes("test_what_is_deleted_is_gone"),
    "NucleusClient.create_launch_model": Apart("It builds a bundle with the package `scale-launch`."),
    "NucleusClient.create_launch_model_from_dir": Apart("It builds a bundle with the package `scale-launch`."),
    "NucleusClient.create_model_run": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.get_model_run": Passes("test_it_reads_our_predictions"),
    "NucleusClient.model_run_info": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.commit_model_run": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.delete_model_run": Passes("test_what_is_deleted_is_gone"),
    "NucleusClient.merge_model_runs": Passes("test_runs_are_merged"),
    "NucleusClient.predictions_ref_id": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.predictions_iloc": Passes("test_the_older_names_of_the_client"),
    "NucleusClient.predictions_loc": Passes("test_the_older_names_of_the_client"),
    "Model.from_json": Passes("test_a_model_describes_itself"),
    "Model.create_run": Passes("test_a_run_that_spans_datasets"),
    "Model.model_runs": Passes("test_runs_are_merged"),
    "Model.add_tags": Passes("test_tags_of_a_model"),
    "Model.remove_tags": Passes("test_tags_of_a_model"),
    "Model.add_trained_slice_ids": Passes("test_slices_that_a_model_was_trained_on"),
    "Model.remove_trained_slice_ids": Passes("test_slices_that_a_model_was_trained_on"),
    "Model.upload_predictions": Passes("test_predictions_without_a_run"),
    "Model.predictions_loc": Passes("test_predictions_without_a_run"),
    "Model.predictions_refloc": Passes("test_predictions_without_a_run"),
    "Model.predictions_iloc": Passes("test_predictions_without_a_run"),
    "Model.copy_predictions_from_run": Passes("test_predictions_are_copied_from_a_run"),
    "Model.run": Refused(lambda at: at.model.run(at.dataset.id, "Run", None), "Scale Launch"),
    "Model.evaluate": Refused(lambda at: at.model.evaluate(["test"]), "Scenario tests"),
    "Dataset.create_model_run": Passes("test_a_run_describes_itself"),
    "Dataset.model_runs": Passes("test_a_run_describes_itself"),
    "Dataset.upload_predictions": Passes("test_every_type_of_prediction_comes_back_equal"),
    "Dataset.upload_predictions_for_model_run": Passes("test_predictions_name_dataset_and_run"),
    "Dataset.predictions_iloc": Passes("test_every_type_of_prediction_comes_back_equal"),
    "Dataset.predictions_refloc": Passes("test_every_type_of_prediction_comes_back_equal"),
    "Dataset.prediction_loc": Passes("test_one_prediction_is_found_by_its_names"),
    "Dataset.export_predictions": Passes("test_every_type_of_prediction_comes_back_equal"),
    "Dataset.calculate_evaluation_metrics": Passes("test_matches_of_a_run_are_queried"),
    "Dataset.query_objects": Passes("test_matches_of_a_run_are_queried"),
    "Dataset.upload_lidar_semseg_predictions": Refused(
        lambda at: at.dataset.upload_lidar_semseg_predictions(at.model, "a", "s3://b/c"), SCENES
    ),
    "ModelRun.info": Passes("test_a_run_describes_itself"),
    "ModelRun.predict": Passes("test_every_type_of_prediction_comes_back_equal"),
    "ModelRun.add_predictions": Passes("test_a_run_that_spans_datasets"),
    "ModelRun.commit": Passes("test_a_committed_run_takes_no_other_predictions"),
    "ModelRun.iloc": Passes("test_every_type_of_prediction_comes_back_equal"),
    "ModelRun.loc": Passes("test_what_no_address_can_name_is_found_by_position_and_item_id"),
    "ModelRun.refloc": Passes("test_every_type_of_prediction_comes_back_equal"),
    "ModelRun.prediction_loc": Passes("test_one_prediction_is_found_by_its_names"),
    "ModelRun.ungrouped_export": Passes("test_every_type_of_prediction_comes_back_equal"),
    # Jobs
    "NucleusClient.get_job": Passes("test_jobs_are_found_again"),
    "NucleusClient.list_jobs": Passes("test_jobs_are_found_again"),
    "NucleusClient.jobs": Passes("test_the_older_names_of_the_client"),
    "Dataset.jobs": Passes("test_jobs_are_found_again"),
    # Slices
    "NucleusClient.slices": Passes("test_slices_are_listed"),
    "NucleusClient.get_slice": Passes("test_a_sample_is_a_slice"),
    "NucleusClient.create_slice": Passes("test_the_older_way_to_a_slice"),
    "NucleusClient.slice_info": Passes("test_the_older_way_to_a_slice"),
    "NucleusClient.delete_slice": Passes("test_a_slice_is_deleted"),
    "NucleusClient.append_to_slice": Passes("test_the_older_way_to_a_slice"),
    "Dataset.slices": Passes("test_slices_are_listed"),
    "Dataset.get_slices": Passes("test_slices_are_listed"),
    "Dataset.create_slice": Passes("test_slices_are_listed"),
    "Dataset.create_slice_by_ids": Passes("test_a_slice_is_made_of_item_ids"),
    "Dataset.build_slice": Passes("test_a_sample_is_a_slice"),
    "Slice.add_tags": Passes("test_tags_are_added"),
    "Slice.append": Passes("test_items_are_appended"),
    "Slice.created_at": Passes("test_slices_are_listed"),
    "Slice.dataset_id": Passes("test_a_slice_describes_itself"),
    "Slice.dataset_items": Passes("test_a_slice_holds_its_items_in_order"),
    "Slice.description": Passes("test_a_slice_describes_itself"),
    "Slice.export_class_labels": Passes("test_a_slice_is_exported_raw"),
    "Slice.export_predictions": Passes("test_items_come_with_the_predictions_of_a_model"),
    "Slice.export_predictions_generator": Passes("test_items_come_with_the_predictions_of_a_model"),
    "Slice.export_raw_items": Passes("test_a_slice_is_exported_raw"),
    "Slice.export_raw_json": Passes("test_a_slice_is_exported_raw"),
    "Slice.from_request": Passes("test_slices_are_listed"),
    "Slice.info": Passes("test_a_slice_describes_itself"),
    "Slice.items": Passes("test_a_slice_holds_its_items_in_order"),
    "Slice.items_and_annotation_generator": Passes("test_items_of_a_slice_come_with_their_annotations"),
    "Slice.items_and_annotations": Passes("test_items_of_a_slice_come_with_their_annotations"),
    "Slice.items_generator": Passes("test_items_of_a_slice_come_page_by_page"),
    "Slice.name": Passes("test_a_slice_describes_itself"),
    "Slice.pending_job_count": Passes("test_a_slice_describes_itself"),
    "Slice.slice_id": Passes("test_a_slice_describes_itself"),
    "Slice.tags": Passes("test_tags_are_added"),
    "Slice.type": Passes("test_a_slice_describes_itself"),
    "Slice.export_embeddings": Refused(lambda at: at.slice().export_embeddings(), "Scale's hosted service"),
    "Slice.export_scale_task_info": Refused(lambda at: at.slice().export_scale_task_info(), "Scale's hosted service"),
    "Slice.send_to_labeling": Refused(lambda at: at.slice().send_to_labeling("prj"), "Scale's hosted service"),
    # Evaluations and benchmarks
    "NucleusClient.list_evaluations_v2": Passes("test_a_model_is_evaluated_on_a_benchmark"),
    "NucleusClient.get_evaluation_v2": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.get_evaluation_v2_filter_schema": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.list_evaluation_v2_presets": Passes("test_labels_are_rolled_up_and_left_out"),
    "NucleusClient.create_evaluation_v2_preset": Passes("test_labels_are_rolled_up_and_left_out"),
    "NucleusClient.update_evaluation_v2_preset": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.delete_evaluation_v2_preset": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.create_benchmark": Passes("test_drafts_and_versions"),
    "NucleusClient.list_benchmarks": Passes("test_drafts_and_versions"),
    "NucleusClient.get_benchmark": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.update_benchmark": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.delete_benchmark": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.list_benchmark_items": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.add_benchmark_items": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.remove_benchmark_items": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.finalize_benchmark": Passes("test_benchmarks_and_evaluations_are_found_by_their_ids"),
    "NucleusClient.create_benchmark_evaluation_v2": Passes("test_a_run_is_evaluated_on_a_benchmark"),
    "NucleusClient.leaderboard_ranking": Passes("test_models_are_ranked"),
    "NucleusClient.leaderboard_f1_curve": Passes("test_models_are_ranked"),
    # Scenes and point clouds
    "Dataset.scenes": Refused(lambda at: at.dataset.scenes, SCENES),
    "Dataset.get_scene": Refused(lambda at: at.dataset.get_scene("a/b"), SCENES),
    "Dataset.get_scene_from_item_ref_id": Refused(
        lambda at: at.client.create_dataset("S", is_scene=True).get_scene_from_item_ref_id("a"), SCENES
    ),
    "Dataset.delete_scene": Refused(lambda at: at.dataset.delete_scene("a/b"), SCENES),
    "Dataset.update_scene_metadata": Passes("test_metadata_of_scenes_is_refused_in_a_sentence"),
    "Dataset.query_scenes": Refused(
        lambda at: list(at.dataset.query_scenes('metadata.a = "b"')), "query items instead"
    ),
    "Dataset.scene_and_annotation_generator": Refused(
        lambda at: list(at.client.create_dataset("S", is_scene=True).scene_and_annotation_generator()), SCENES
    ),
    "Dataset.tracks": Refused(lambda at: at.dataset.tracks, SCENES),
    "Dataset.delete_tracks": Refused(lambda at: at.dataset.delete_tracks(["a"]), SCENES),
    "NucleusClient.download_pointcloud_task": Refused(
        lambda at: at.client.download_pointcloud_task("t", 1), "Labeling tasks"
    ),
    "NucleusClient.download_pointcloud_tasks": Refused(
        lambda at: at.client.download_pointcloud_tasks(["t"], 1), "Labeling tasks"
    ),
    # Embeddings, autotags, deduplication, weights
    "Dataset.embedding_indexes": Refused(lambda at: at.dataset.embedding_indexes, EMBEDDINGS),
    "Dataset.create_custom_index": Refused(lambda at: at.dataset.create_custom_index(["s3://b/c"], 3), EMBEDDINGS),
    "Dataset.delete_custom_index": Refused(lambda at: at.dataset.delete_custom_index(), EMBEDDINGS),
    "Dataset.set_primary_index": Refused(lambda at: at.dataset.set_primary_index(), EMBEDDINGS),
    "Dataset.set_continuous_indexing": Refused(lambda at: at.dataset.set_continuous_indexing(), EMBEDDINGS),
    "Dataset.get_image_indexing_status": Refused(lambda at: at.dataset.get_image_indexing_status(), EMBEDDINGS),
    "Dataset.get_object_indexing_status": Refused(lambda at: at.dataset.get_object_indexing_status(), EMBEDDINGS),
    "Dataset.create_image_index": Refused(lambda at: at.dataset.create_image_index(), EMBEDDINGS),
    "Dataset.create_object_index": Refused(lambda at: at.dataset.create_object_index(gt_only=True), EMBEDDINGS),
    "Dataset.export_embeddings": Refused(lambda at: at.dataset.export_embeddings(), "Embeddings are computed"),
    "Dataset.list_autotags": Refused(lambda at: at.dataset.list_autotags(), "Autotags"),
    "Dataset.autotag_items": Refused(lambda at: at.dataset.autotag_items("night"), "Autotags"),
    "Dataset.autotag_training_items": Refused(lambda at: at.dataset.autotag_training_items("night"), "Autotags"),
    "Dataset.update_autotag": Refused(lambda at: at.dataset.update_autotag("tag_1"), "Autotags"),
    "Dataset.deduplicate": Refused(lambda at: at.dataset.deduplicate(10), "Near duplicates"),
    "Dataset.deduplicate_by_ids": Refused(lambda at: at.dataset.deduplicate_by_ids(10, ["di_1"]), "Near duplicates"),
    "NucleusClient.create_custom_index": Refused(
        lambda at: at.client.create_custom_index(at.dataset.id, ["s3://b/c"], 3), EMBEDDINGS
    ),
    "NucleusClient.delete_custom_index": Refused(
        lambda at: at.client.delete_custom_index(at.dataset.id, True), EMBEDDINGS
    ),
    "NucleusClient.set_primary_index": Refused(
        lambda at: at.client.set_primary_index(at.dataset.id, True, False), EMBEDDINGS
    ),
    "NucleusClient.set_continuous_indexing": Refused(
        lambda at: at.client.set_continuous_indexing(at.dataset.id), EMBEDDINGS
    ),
    "NucleusClient.create_image_index": Refused(lambda at: at.client.create_image_index(at.dataset.id), EMBEDDINGS),
    "NucleusClient.create_object_index": Refused(
        lambda at: at.client.create_object_index(at.dataset.id, "run_1", False), EMBEDDINGS
    ),
    "NucleusClient.list_autotags": Refused(lambda at: at.client.list_autotags(at.dataset.id), "Autotags"),
    "NucleusClient.delete_autotag": Refused(lambda at: at.client.delete_autotag("tag_1"), "Autotags"),
    "NucleusClient.get_autotag_refinement_metrics": Refused(
        lambda at: at.client.get_autotag_refinement_metrics("tag_1"), "Autotags"
    ),
    "NucleusClient.upload_model_weights": Refused(
        lambda at: at.client.upload_model_weights(at.model, __file__, progress=False), "Weights"
    ),
    "NucleusClient.download_model_weights": Refused(
        lambda at: at.client.download_model_weights(at.model, str(at.folder / "w")), "Weights"
    ),
    "NucleusClient.get_model_weights": Refused(lambda at: at.client.get_model_weights(at.model), "Weights"),
    "NucleusClient.delete_model_weights": Refused(lambda at: at.client.delete_model_weights(at.model), "Weights"),
    "Model.upload_weights": Refused(lambda at: at.model.upload_weights(__file__, progress=False), "Weights"),
    "Model.download_weights": Refused(lambda at: at.model.download_weights(str(at.folder / "w")), "Weights"),
    "Model.weights": Refused(lambda at: at.model.weights(), "Weights"),
    "Model.delete_weights": Refused(lambda at: at.model.delete_weights(), "Weights"),
    # What asks no server
    **{
        f"NucleusClient.{name}": Apart("It sends what it is told, to a route that it is told.")
        for name in ("make_request", "get", "post", "put", "patch", "delete")
    },
    "NucleusClient.valid_dirname": Apart("It looks at the disk."),
}


def public(name: str) -> list[str]:
    """Return the methods and properties that a class of the official client defines for its users."""
    return [one for one in vars(getattr(import_module("nucleus"), name)) if not one.startswith("_")]


def test_every_public_method_has_its_line() -> None:
    assert {f"{name}.{one}" for name in CLASSES for one in public(name)} == set(TABLE)


@cache
def definitions(module: str) -> dict[str, ast.AST]:
    """Return the functions, fixtures and classes that a test module has or shares, by name."""
    texts = [(Path(__file__).parent / f"{name}.py").read_text("utf-8") for name in (*SHARED, module)]
    every = [one for text in texts for one in ast.parse(text).body]
    return {one.name: one for one in every if isinstance(one, (ast.FunctionDef, ast.ClassDef))}


def reached(module: str, test: str) -> set[str]:
    """Return every name that a test names: itself, or by the functions and fixtures that it names."""
    known = definitions(module)
    names: set[str] = set()
    waiting = [test]
    while waiting:
        one = waiting.pop()
        for node in ast.walk(known[one]):
            found = {
                ast.Attribute: lambda n: n.attr,
                ast.Name: lambda n: n.id,
                ast.arg: lambda n: n.arg,
                ast.Constant: lambda n: n.value if isinstance(n.value, str) else "",
            }.get(type(node), lambda n: "")(node)
            if found not in names and found in known:
                waiting.append(found)
            names.add(found)
    return names


@pytest.mark.parametrize(
    ("name", "test"), [(name, verdict.test) for name, verdict in TABLE.items() if isinstance(verdict, Passes)]
)
def test_what_passes_is_called_by_its_test(name: str, test: str) -> None:
    (module,) = [module for module in MODULES if test in definitions(module)]
    assert name.partition(".")[2] in {*reached(module, test), "from_json", "from_request"}


@pytest.fixture
def at(served: str, tmp_path: Path) -> At:
    nucleus = import_module("nucleus")
    client = nucleus.NucleusClient(api_key="any key", endpoint=served)
    dataset = client.create_dataset("Street scenes", is_scene=False)
    return At(nucleus, client, dataset, client.create_model("Detector", "det-0.5"), tmp_path)


@pytest.mark.parametrize("name", [name for name, verdict in TABLE.items() if isinstance(verdict, Refused)])
def test_what_is_refused_is_told_in_a_sentence(at: At, name: str) -> None:
    verdict = TABLE[name]
    assert isinstance(verdict, Refused)
    with pytest.raises(at.nucleus.NucleusAPIError, match=verdict.words) as caught:
        verdict.call(at)
    assert caught.value.status_code == 501
