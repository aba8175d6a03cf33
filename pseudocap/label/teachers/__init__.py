"""Caption clips: an image-text model, transcripts of speech, a captioner of ours."""
