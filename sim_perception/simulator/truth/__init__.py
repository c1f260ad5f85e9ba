"""Labels of a rendered scene: visibility, flow, boxes, states."""
