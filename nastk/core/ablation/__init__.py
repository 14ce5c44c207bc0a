"""Ablation studies: what each part was worth, from one file, with statistics."""
