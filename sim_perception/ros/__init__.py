"""What nodes share: conversions, QoS, synchronisation, TF, parameters, diagnostics."""
