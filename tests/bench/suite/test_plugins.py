from bench.suite import plugins


def test_plugins_are_found_by_file_name_and_load():
    assert {"nisp", "nisp_uniform", "random", "magnitude", "thinet"} <= plugins.available(plugins.CRITERIA).keys()
    assert not any(name.startswith("_") for name in plugins.available(plugins.CRITERIA))
    for name in plugins.available(plugins.CRITERIA):
        assert callable(plugins.load(plugins.CRITERIA, name).score)
    for name in plugins.available(plugins.RANKINGS):
        assert callable(plugins.load(plugins.RANKINGS, name).rank)


def test_options_and_depths_are_read_from_the_source():
    assert plugins.options("nisp") == {"alpha": "float", "variant": "str", "joint": "bool"}
    assert plugins.options("random") == {}
    assert plugins.ranking_options("inf_fs") == {"alpha": "float", "variant": "str"}
    assert plugins.data_options("imagenet") == {"image_size": "int"} and plugins.data_options("digits") == {}
    assert plugins.depths("plain") == (4, 6, 8, 10, 14) and plugins.depths("lenet") == ()
