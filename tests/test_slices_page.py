from html_pages import parsed

from genrec.reports.lists_sections import slices_section


def entry(name, *, targets=400, part="history length", ndcg=0.2):
    row = {"recall@10": 0.3, "ndcg@10": ndcg}
    spread = {"recall@10": [0.25, 0.35], "ndcg@10": [ndcg - 0.01, ndcg + 0.01]}
    return {
        "slice": part,
        "name": name,
        "targets": targets,
        "users": targets,
        "share": targets / 1000,
        "rows": {"model": row, "walk": {"recall@10": 0.1, "ndcg@10": 0.0987}},
        "intervals": {"model": spread, "walk": {"recall@10": [0.0, 0.2], "ndcg@10": [0.05, 0.15]}},
    }


def metrics(*entries, baselines=True):
    return {
        "users": {"validation": 3, "test": 3},
        "rules": {"headline_k": 10},
        "best_baseline": {"test": {"name": "walk"}} if baselines else {},
        "slices": {"test": list(entries)},
    }


def test_every_part_is_there_with_its_interval_beside_the_best_baseline():
    many = [entry(f"<brand {i}>", part="brand") for i in range(7)]
    section = slices_section(metrics(entry("1 to 4"), entry("5 to 9", targets=12), *many))
    texts = parsed(section).texts
    assert {"By history length (2)", "By brand (7)", "1 to 4", "<brand 6>", "0.2000", "0.1900–0.2100", "0.0987"} <= set(texts)
    assert texts.count("few") == 1
    assert section.count("<details") == 2
    assert section.count('open="open"') == 1  # the long one waits to be asked for


def test_it_does_without_baselines_and_without_slices():
    assert "walk" not in slices_section(metrics(entry("1 to 4"), baselines=False))
    assert slices_section(metrics()) is None
