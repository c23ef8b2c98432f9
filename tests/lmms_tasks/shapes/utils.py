def shown(row):
    return [row["image"].convert("RGB")]
