"""Looking at models: summaries and drawings; and at images, with boxes and masks on them."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.visualization.annotations import draw_bounding_boxes as draw_bounding_boxes
    from kgraph.visualization.annotations import draw_segmentation_masks as draw_segmentation_masks
    from kgraph.visualization.dot import model_to_dot as model_to_dot
    from kgraph.visualization.galleries import (
        plot_bounding_box_gallery as plot_bounding_box_gallery,
    )
    from kgraph.visualization.galleries import plot_image_gallery as plot_image_gallery
    from kgraph.visualization.galleries import (
        plot_segmentation_mask_gallery as plot_segmentation_mask_gallery,
    )
    from kgraph.visualization.html import model_html as model_html
    from kgraph.visualization.layer_table import summary as summary
    from kgraph.visualization.layer_table import summary_text as summary_text
    from kgraph.visualization.mermaid import to_mermaid as to_mermaid
    from kgraph.visualization.pictures import activations as activations
    from kgraph.visualization.pictures import filters as filters
    from kgraph.visualization.pictures import plot_confusion_matrix as plot_confusion_matrix
    from kgraph.visualization.plot import Plot as Plot
    from kgraph.visualization.plot import plot_model as plot_model
    from kgraph.visualization.rows import Row as Row
    from kgraph.visualization.rows import summary_rows as summary_rows
    from kgraph.visualization.svg import model_to_svg as model_to_svg
else:
    __getattr__, __dir__ = lazy_names(__name__)
