"""Sound: media files in and out, resampling, spectra, voice activity, levels and masking thresholds."""
