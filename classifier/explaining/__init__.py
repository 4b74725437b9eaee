"""Why a picture got its label: heat maps, made for whoever asks."""
