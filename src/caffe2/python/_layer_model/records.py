"""What a `LayerModelHelper` is given, gives and reports: its schemas, predictions and losses.

Owned here: these columns. Who calls it: layer_model_helper.py, whose class this is a part of.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require


class ModelRecords:
    """The schemas of a model."""

    name: str
    net: Any

    def _take_records(self, input_feature_schema: Any, trainer_extra_schema: Any, keep_blobs: bool) -> None:
        def own(record: Any) -> Any:
            return record.clone() if keep_blobs else schema.NewRecord(self.net, record)

        self._input_feature_schema = own(input_feature_schema)
        self._trainer_extra_schema = own(trainer_extra_schema)
        self._metrics_schema: Any = schema.Struct()
        self._loss: Any = None
        self._prediction: list[tuple[Any, float]] = []
        self._output_schema: Any = None
        self._preproc_output_schema: Any = None
        self._breakdown_map: dict[str, int] | None = None
        self._transfer_learning_blob_name_mappings: Any = None
        self.ad_hoc_diagnose_blobs_and_operations: list[Any] = []
        self.ad_hoc_plot_blobs: list[Any] = []

    @property
    def input_feature_schema(self) -> Any:
        """What prediction is given."""
        return self._input_feature_schema

    @property
    def trainer_extra_schema(self) -> Any:
        """What training is given besides."""
        return self._trainer_extra_schema

    def add_trainer_extra_schema(self, trainer_extra_schema: Any) -> None:
        """Add columns to what training is given."""
        self._trainer_extra_schema += schema.NewRecord(self.net, trainer_extra_schema)

    @property
    def metrics_schema(self) -> Any:
        """Columns that training and evaluation give besides the output."""
        return self._metrics_schema

    def add_metric_field(self, name: str, value: Any) -> None:
        """Add a column to the metrics; MisuseError if the name is taken."""
        require(name not in self._metrics_schema.fields, f"there is a metric field {name} already.")
        self._metrics_schema = self._metrics_schema + schema.Struct((name, value))

    def filter_metrics_schema(self, white_set: Collection[str]) -> None:
        """Drop the metrics that are not named."""
        for name in self._metrics_schema.field_names():
            if name not in white_set:
                self._metrics_schema = self._metrics_schema - schema.Struct((name, schema.Scalar()))

    def add_ad_hoc_plot_blob(self, blob: Any, dtype: Any = None) -> None:
        """Add a blob (one number of float64 unless ``dtype`` says otherwise) to the metrics and to those to plot."""
        require(
            isinstance(blob, (str, core.BlobReference)),
            f"a blob must be a str or BlobReference; got {type(blob).__name__}.",
        )
        self.add_metric_field(str(blob), schema.Scalar(dtype or (np.float64, (1,)), blob))
        self.ad_hoc_plot_blobs.append(blob)

    @property
    def output_schema(self) -> Any:
        """What the model gives; it is set once, or put together by `add_output_schema`."""
        require(self._output_schema is not None, f"output_schema of model {self.name} was not set.")
        return self._output_schema

    @output_schema.setter
    def output_schema(self, output_schema: Any) -> None:
        require(self._output_schema is None, f"output_schema of model {self.name} was set already.")
        self._output_schema = output_schema

    def clear_output_schema(self) -> None:
        """Forget the output."""
        self._output_schema = None

    def add_output_schema(self, name: str, value: Any) -> None:
        """Add a column, or a struct of them, to the output."""
        require(
            isinstance(value, (schema.Scalar, schema.Struct)),
            f"output {name} must be a Scalar or a Struct; got {type(value).__name__}.",
        )
        known = self._output_schema
        require(known is None or name not in known.fields, f"the output has a field {name} already.")
        added = schema.Struct((name, value))
        self._output_schema = added if known is None else known + added

    @property
    def preproc_output_schema(self) -> Any:
        """What preprocessing gives; it is set once."""
        require(self._preproc_output_schema is not None, "preproc_output_schema was not set.")
        return self._preproc_output_schema

    @preproc_output_schema.setter
    def preproc_output_schema(self, output_schema: Any) -> None:
        require(self._preproc_output_schema is None, "preproc_output_schema was set already.")
        self._preproc_output_schema = output_schema

    @property
    def prediction(self) -> list[tuple[Any, float]]:
        """Predictions and their weights; MisuseError if there is none."""
        require(self._prediction, "model prediction is empty")
        return self._prediction

    def add_prediction(self, prediction: Any, weight: float = 1.0) -> None:
        """Add a prediction."""
        require(prediction is not None, "a prediction cannot be None.")
        self._prediction.append((prediction, weight))

    @property
    def loss(self) -> Any:
        """What training minimises: a Scalar that was set, or the Struct that `add_loss` made."""
        require(self._loss is not None, f"model {self.name} has no loss.")
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        require(self._loss is None, f"model {self.name} has a loss already: use add_loss.")
        self._loss = loss

    def has_loss(self) -> bool:
        """True if there is a loss."""
        return self._loss is not None

    def add_loss(self, loss: Any, name: str = "unnamed") -> None:
        """Add a part to the loss; a name that is taken gets ``_auto_0`` and so on behind it."""
        require(
            isinstance(loss, (schema.Scalar, schema.Struct)),
            f"a loss must be a Scalar or a Struct; got {type(loss).__name__}.",
        )
        if self._loss is None:
            self._loss = schema.Struct((name, loss))
            return
        if isinstance(self._loss, schema.Scalar):
            self._loss = schema.Struct(("unnamed", self._loss))
        free, index = name, 0
        while free in self._loss:
            free, index = f"{name}_auto_{index}", index + 1
        self._loss = self._loss + schema.Struct((free, loss))

    @property
    def transfer_learning_blob_name_mappings(self) -> Any:
        """Names of blobs in a model that this one starts from."""
        return self._transfer_learning_blob_name_mappings

    @transfer_learning_blob_name_mappings.setter
    def transfer_learning_blob_name_mappings(self, mappings: Any) -> None:
        require(mappings is not None, "the mapping of names cannot be None.")
        self._transfer_learning_blob_name_mappings = mappings

    @property
    def breakdown_map(self) -> dict[str, int] | None:
        """Name of a feature to break figures down by -> its number, from 0."""
        return self._breakdown_map

    @breakdown_map.setter
    def breakdown_map(self, breakdown_map: dict[str, int]) -> None:
        require(
            isinstance(breakdown_map, dict)
            and all(isinstance(key, str) for key in breakdown_map)
            and sorted(breakdown_map.values()) == list(range(len(breakdown_map))),
            "breakdown_map must be a dict of names to the numbers 0, 1, 2 …",
        )
        self._breakdown_map = breakdown_map
