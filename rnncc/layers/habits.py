"""What Keras's models and layers can do and those of rnncc cannot: for each method, what exists instead."""

_TRAIN = "rnncc does not train: train the model in Keras, then model.set_weights(keras_model.get_weights())"
KEEP_WEIGHTS = "make it again from the same code, and give it the weights: model.set_weights(other.get_weights())"
_SAVE = "numpy keeps its weights: np.savez(file, *model.get_weights()); the layers are made again by the same code"
_LOAD = "make the layers first, then give them the arrays: model.set_weights([file[name] for name in file.files])"
_MEASURE = "compare model.predict(x) with what is right; rnncc.evaluate(model, x) is the numpy meaning of a model"
_COMPILED = "a compiled model has it: fn = rnncc.compile(model)"

INSTEAD: dict[str, str] = {
    "compile": "rnncc.compile(model) makes machine code of it; there is no optimizer and no loss: rnncc does not train",
    **dict.fromkeys(("fit", "train_on_batch", "train_step", "fit_generator", "optimizer", "loss"), _TRAIN),
    **dict.fromkeys(("evaluate", "test_on_batch", "metrics", "compute_metrics"), _MEASURE),
    **dict.fromkeys(("save", "save_weights", "export", "to_json", "get_config"), _SAVE),
    **dict.fromkeys(("load_weights", "from_config"), _LOAD),
    **dict.fromkeys(("losses", "add_loss", "add_metric"), _TRAIN),
    "compute_output_shape": "call it on an Input, and ask the result for its shape",
    "input_names": "[tensor.name for tensor in model.inputs]",
    **dict.fromkeys(("stream", "ir", "profile", "memory"), _COMPILED),
    "predict_on_batch": "call the model: model(x), or model.predict(x)",
    "predict_generator": "call model.predict on each batch",
}
"""By name of the method."""
