"""Functions of arrays where Keras' are other than JAX's, or JAX has none: loaded when asked for."""

from typing import TYPE_CHECKING

from kgraph.late import late_names

if TYPE_CHECKING:
    __all__: list[str]
    from kgraph.activations import hard_shrink as hard_shrink
    from kgraph.activations import leaky_relu as leaky_relu
    from kgraph.activations import soft_shrink as soft_shrink
    from kgraph.activations import sparsemax as sparsemax
    from kgraph.activations import tanh_shrink as tanh_shrink
    from kgraph.activations import threshold as threshold
    from kgraph.ops.functions.basics import *
    from kgraph.ops.functions.counting import *
    from kgraph.ops.functions.entropies import *
    from kgraph.ops.functions.flow import *
    from kgraph.ops.functions.frames import *
    from kgraph.ops.functions.matrices import *
    from kgraph.ops.functions.moved_pixels import *
    from kgraph.ops.functions.normalizing import *
    from kgraph.ops.functions.numeric import *
    from kgraph.ops.functions.patches import *
    from kgraph.ops.functions.pixel_values import *
    from kgraph.ops.functions.rearranging import *
    from kgraph.ops.functions.sequences import *
    from kgraph.ops.functions.spectra import *
    from kgraph.ops.functions.updates import *
    from kgraph.ops.functions.windows import *
else:
    __getattr__, __dir__, __all__ = late_names(__name__, {
        "basics": (
            "array cast convert_to_numpy convert_to_tensor custom_gradient dtype get_item "
            "getitem is_tensor ndim saturate_cast shape size vectorize view"
        ),
        "counting": "bincount in_top_k multi_hot one_hot top_k unique",
        "entropies": (
            "binary_crossentropy categorical_crossentropy psnr sparse_categorical_crossentropy"
        ),
        "flow": (
            "associative_scan cond fori_loop jvp map scan switch vectorized_map while_loop"
        ),
        "matrices": "cholesky_inverse lstsq lu_factor matrix_rank norm solve_triangular",
        "frames": "crop_images pad_images resize scale_and_translate",
        "moved_pixels": "affine_transform elastic_transform map_coordinates perspective_transform",
        "normalizing": (
            "batch_normalization layer_normalization moments normalize rms_normalization"
        ),
        "numeric": (
            "cdist divide_no_nan dot_product_attention einsum logdet pad polar unstack "
            "view_as_complex view_as_real"
        ),
        "patches": (
            "depth_to_space extract_patches extract_patches_3d extract_sequences fold "
            "space_to_depth unfold"
        ),
        "pixel_values": "gaussian_blur hsv_to_rgb rgb_to_grayscale rgb_to_hsv sobel_edges ssim",
        "rearranging": "rearrange",
        "sequences": "ctc_decode ctc_loss",
        "spectra": "fft fft2 ifft2 irfft istft rfft stft",
        "updates": (
            "scatter scatter_update segment_max segment_min segment_prod segment_sum slice "
            "slice_update"
        ),
        "windows": (
            "adaptive_average_pool adaptive_max_pool average_pool conv conv_transpose "
            "depthwise_conv max_pool separable_conv"
        ),
        "kgraph.activations": "hard_shrink leaky_relu soft_shrink sparsemax tanh_shrink threshold",
    })  # fmt: skip
