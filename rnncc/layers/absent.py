"""Names that Keras has and rnncc has not, and what there is instead."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from rnncc.errors import MemberError, caller, nearest, public_names

_OUTSIDE = "rnncc compiles what is recurrent: compute this in front of the model, and give the result to an Input"
_NO_IMAGES = "rnncc compiles sequences, (batch, time, width): prepare images in front of the model"
_TOKENS = "map words to token ids in front of the model; layers.Embedding takes the ids"
_OF_YOUR_OWN = "derive a class from layers.Layer: build() adds weights, call() computes with rnncc.ops"
_WITH_FEATURES = "for sequences of a fixed length: layers.Lambda(lambda x: {0}(ops.reshape(x, (-1, 5, 2, 8)), axis=2))"
_NO_TRAINING = "rnncc does not train, and in a compiled model it would change nothing: leave it out"

_LAYERS = {
    "*[23]D": _NO_IMAGES,
    "*[23]DTranspose": _NO_IMAGES,
    "Random*": _NO_IMAGES,
    "ConvLSTM1D": "layers.RNN runs a cell of your own: its call(inputs, states) computes with rnncc.ops",
    "*Conv1D*": _OUTSIDE,
    "*Convolution1D*": _OUTSIDE,
    "*Spectrogram": _OUTSIDE,
    "GlobalAvgPool1D": "the same layer is layers.GlobalAveragePooling1D",
    "GlobalMaxPool1D": "the same layer is layers.GlobalMaxPooling1D",
    "MaxPool*1D": _WITH_FEATURES.format("ops.max"),
    "Av*Pool*1D": _WITH_FEATURES.format("ops.mean"),
    "Adaptive*1D": "over all steps: layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D",
    "UpSampling1D": "layers.Lambda(lambda x: ops.repeat(x, 2, axis=1)), for sequences of a fixed length",
    "ZeroPadding1D": "layers.Lambda(lambda x: ops.pad(x, [(0, 0), (1, 1), (0, 0)])), for sequences of a fixed length",
    "Cropping1D": "index the tensor, x[:, 1:-1], for sequences of a fixed length",
    "BatchNormalization": "at inference it is a scale and an offset: layers.Lambda(lambda x: x * scale + offset)",
    "Normalization": "layers.Lambda(lambda x: (x - mean) / deviation)",
    "Rescaling": "layers.Lambda(lambda x: x * scale + offset)",
    "*Normalization": "layers.LayerNormalization and layers.RMSNormalization, or " + _OF_YOUR_OWN,
    "LeakyReLU": "layers.Lambda(lambda x: ops.leaky_relu(x, negative_slope=0.3))",
    "PReLU": _OF_YOUR_OWN,
    "ReLU": 'layers.Activation("relu")',
    "ELU": 'layers.Activation("elu")',
    "Softmax": 'layers.Activation("softmax")',
    "Identity": 'layers.Activation("linear")',
    "Gaussian*": _NO_TRAINING,
    "AlphaDropout": _NO_TRAINING,
    "ActivityRegularization": _NO_TRAINING,
    "*Attention": _OF_YOUR_OWN + ": ops.matmul and ops.softmax",
    "[Dd]ot": "layers.Lambda(lambda pair: ops.sum(pair[0] * pair[1], axis=-1))([x, y])",
    "EinsumDense": _OF_YOUR_OWN + ": ops.einsum",
    "Wrapper": _OF_YOUR_OWN,
    "Text*": _TOKENS,
    "*Lookup": _TOKENS,
    "Hash*": _TOKENS,
    "CuDNNLSTM": "layers.LSTM is as fast as it gets here",
    "CuDNNGRU": "layers.GRU(reset_after=True) is as fast as it gets here",
    "*serialize": "build the model in code, then model.set_weights(other.get_weights())",
}
"""Patterns of names of layers; the first one that fits counts."""

_TRAINING = "rnncc does not train: train in Keras, then model.set_weights(keras_model.get_weights())"
_PACKAGE = {
    **dict.fromkeys(("losses", "optimizers", "callbacks", "metrics"), _TRAINING),
    "regularizers": 'they are for training; layers take any: kernel_regularizer="l2"',
    "constraints": 'they are for training; layers take any: kernel_constraint="max_norm"',
    "models": "rnncc.Model and rnncc.Sequential",
    "utils": "rnncc.set_random_seed seeds initializers and dropout",
    "random": "rnncc.set_random_seed seeds initializers and dropout; layers.Dropout(rate, seed=1) has its own",
    "saving": "the cache keeps machine code; for weights numpy.savez and model.set_weights",
    "datasets": _OUTSIDE,
    "preprocessing": _OUTSIDE,
    "backend": "rnncc.ops has the functions of symbolic tensors",
    "Variable": "a layer's weights: self.add_weight(name, shape) in its build()",
}


_PACKAGES = ("activations", "initializers", "layers", "ops")
"""What is meant for users of the folders and files in rnncc."""


def absent(owner: str, name: str, module: Mapping[str, object]) -> AttributeError:
    """The error for a name that `owner`, rnncc.layers or rnncc, does not have; `module` are its globals."""
    if name.startswith("_"):  # Python itself asks for those
        return AttributeError(f"module {owner!r} has no attribute {name!r}", name=name)
    of_layers = owner == "rnncc.layers"
    table, packages = (_LAYERS, ()) if of_layers else (_PACKAGE, _PACKAGES)
    instead = next((text for pattern, text in table.items() if fnmatchcase(name, pattern)), None)
    meant = nearest(name, [*public_names(module), *packages])
    if instead is None:
        others = f"dir({owner}) lists what it has" + (f"; {_OF_YOUR_OWN}" if of_layers else "")
        instead = f"did you mean {owner}.{meant}?" if meant else others
    return MemberError(f"{owner} has no {name}", place=caller(), remedy=instead)
