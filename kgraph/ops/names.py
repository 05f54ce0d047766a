"""The names of `kgraph.ops`: closed tables, by the namespaces in which Keras has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_NUMPY_ELEMENTWISE = """
abs absolute add angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and
bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor cbrt ceil
clip conj conjugate cos cosh deg2rad divide divide_no_nan equal exp exp2 expm1 fabs floor
floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot i0 imag isfinite isinf isnan
isneginf isposinf isreal lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp
logaddexp2 logical_and logical_not logical_or logical_xor maximum minimum mod multiply nan_to_num
negative nextafter not_equal power rad2deg real reciprocal right_shift round sign signbit sin sinc
sinh sqrt square subtract tan tanh true_divide trunc where
"""

_NUMPY = """
all allclose amax amin any append arange argmax argmin argpartition argsort array array_split
average bartlett bincount blackman broadcast_to concatenate copy corrcoef correlate count_nonzero
cross cumprod cumsum diag diagflat diagonal diff digitize dot dsplit dstack einsum empty empty_like
expand_dims eye flip fliplr flipud full full_like geomspace get_item hamming hanning histogram
hsplit hstack identity inner isclose isin kaiser kron linspace logspace matmul max mean median
meshgrid min moveaxis nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin
nanpercentile nanprod nanquantile nanstd nansum nanvar ndim nonzero ones ones_like outer pad
percentile prod ptp quantile ravel repeat reshape roll rot90 searchsorted select size slogdet sort
split squeeze stack std sum swapaxes take take_along_axis tensordot tile trace transpose trapezoid
tri tril triu unique unravel_index vander var vdot vectorize view vsplit vstack zeros zeros_like
"""

_NN_ELEMENTWISE = """
celu elu gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid polar
relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus
swish tanh_shrink threshold
"""

_NN = """
adaptive_average_pool adaptive_max_pool average_pool batch_normalization binary_crossentropy
categorical_crossentropy conv conv_transpose ctc_decode ctc_loss depth_to_space depthwise_conv
dot_product_attention fold glu layer_normalization log_softmax max_pool moments multi_hot normalize
one_hot psnr rms_normalization separable_conv softmax space_to_depth
sparse_categorical_crossentropy sparsemax unfold
"""

_LINALG = """
cholesky cholesky_inverse det eig eigh inv jvp lstsq lu_factor matrix_rank norm pinv qr solve
solve_triangular svd
"""

_IMAGE = """
affine_transform crop_images elastic_transform extract_patches extract_patches_3d gaussian_blur
hsv_to_rgb map_coordinates pad_images perspective_transform resize rgb_to_grayscale rgb_to_hsv
scale_and_translate sobel_edges ssim
"""

_CORE_ELEMENTWISE = "cast erf erfc erfinv rsqrt saturate_cast stop_gradient"

_CORE = """
associative_scan cdist cond convert_to_numpy convert_to_tensor custom_gradient dtype
extract_sequences fft fft2 fori_loop ifft2 in_top_k irfft is_tensor istft logdet logsumexp map
rearrange rfft scan scatter scatter_update segment_max segment_min segment_prod segment_sum shape
slice slice_update stft switch top_k unstack vectorized_map view_as_complex view_as_real while_loop
"""

_BEYOND_KERAS_ELEMENTWISE = "erf_inv mish positive soft_sign"

_BEYOND_KERAS = """
column_stack conv_general_dilated dot_general dynamic_slice getitem reduce_window standardize
"""

NAMESPACES: Mapping[str, Sequence[str]] = {
    "numpy": sorted((_NUMPY_ELEMENTWISE + _NUMPY).split()),
    "nn": sorted((_NN_ELEMENTWISE + _NN).split()),
    "linalg": _LINALG.split(),
    "image": _IMAGE.split(),
}
"""The functions that Keras has in a namespace of `keras.ops` too, or (images) there alone."""

_ALL_ELEMENTWISE = (
    _NUMPY_ELEMENTWISE, _NN_ELEMENTWISE, _CORE_ELEMENTWISE, _BEYOND_KERAS_ELEMENTWISE
)  # fmt: skip
ELEMENTWISE = frozenset(" ".join(_ALL_ELEMENTWISE).split())
"""What treats every number by itself: masks pass, and rows do not mix."""

_OTHERS = (_CORE, _BEYOND_KERAS, _NUMPY, _NN, _LINALG, _IMAGE)
names: list[str] = sorted({*ELEMENTWISE, *" ".join(_OTHERS).split()})
"""The functions that exist here."""

_ABOUT_TENSORS = """
convert_to_numpy custom_gradient dtype get_item is_tensor ndim shape vectorize
"""
NEVER_NODES = frozenset(_ABOUT_TENSORS.split())
"""What says something about a symbolic tensor, or makes functions; it adds no node to a graph."""

_WITH_FUNCTIONS = """
associative_scan cond fori_loop jvp map scan switch vectorized_map while_loop
"""
TAKES_FUNCTIONS = frozenset(_WITH_FUNCTIONS.split())
"""What takes functions of Python. A graph may hold it, a file cannot."""

ALIASES = {
    "bitwise_invert": "bitwise_not",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "erfinv": "erf_inv",
    "softsign": "soft_sign",
}
"""Names of Keras', and JAX's for the same function."""
