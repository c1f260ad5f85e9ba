"""Whether a fit may be believed: measures, reasons, calibrated confidence."""
