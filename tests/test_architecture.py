"""Who imports whom: what the contracts of import-linter cannot say, because they look at packages."""

from __future__ import annotations

import grimp


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("trm_cli", "dataset_builders", include_external_packages=False)
    circles = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            back = graph.find_shortest_chain(importer=imported, imported=importer)
            if back:
                circles.add(frozenset(back))
    assert circles == set()
