using YamlDotNet.RepresentationModel;

namespace DistTrain.Engines.Tests;

/// <summary>
/// The Kubeflow manifests against the operators' own definitions, which are not kept here: DISTTRAIN_CRDS names a folder with them, as from the operators' repositories
/// (manifests/base: kubeflow.org_mpijobs.yaml, kubeflow.org_pytorchjobs.yaml, trainer.kubeflow.org_trainjobs.yaml) or from a cluster: kubectl get crd mpijobs.kubeflow.org -o yaml.
/// </summary>
public sealed class CrdTests
{
    private const string Sample = """
        kind: CustomResourceDefinition
        spec:
          names: {kind: Sample}
          versions:
            - name: v1
              schema:
                openAPIV3Schema:
                  type: object
                  properties:
                    apiVersion: {type: string}
                    kind: {type: string}
                    metadata: {type: object}
                    spec:
                      type: object
                      required: [mode]
                      properties:
                        mode: {type: string, enum: [a, b]}
                        count: {type: integer, minimum: 1}
                        name: {type: string, pattern: "^x+$"}
                        on: {type: boolean}
                        memory: {x-kubernetes-int-or-string: true}
                        list: {type: array, items: {type: integer}}
                        map: {type: object, additionalProperties: {type: string}}
        """;

    [Theory]
    [InlineData("mode: a\n  count: 1\n  name: xx\n  on: true\n  memory: 4Gi\n  list: [1, 2]\n  map: {k: v}", "")]
    [InlineData("count: 1", ".spec.mode: missing")]
    [InlineData("mode: c", ".spec.mode: 'c' is none of a, b")]
    [InlineData("mode: a\n  count: 0", ".spec.count: 0 is below 1")]
    [InlineData("mode: a\n  count: \"2\"", ".spec.count: '2' is no integer")]
    [InlineData("mode: a\n  name: xy", ".spec.name: 'xy' does not match ^x+$")]
    [InlineData("mode: a\n  name: 5", ".spec.name: '5' is no string;.spec.name: '5' does not match ^x+$")]
    [InlineData("mode: a\n  on: yes", ".spec.on: 'yes' is no boolean")]
    [InlineData("mode: a\n  list: [1, z]", ".spec.list[1]: 'z' is no integer")]
    [InlineData("mode: a\n  list: 1", ".spec.list: expected a list")]
    [InlineData("mode: a\n  map: {k: [1]}", ".spec.map.k: expected string")]
    [InlineData("mode: a\n  other: 1", ".spec.other: unknown field")]
    public void The_check_finds_what_an_api_server_would(string spec, string problems)
    {
        CrdSchema schema = new(Sample);
        Assert.Equal("Sample", schema.Kind);
        Assert.Equal(problems, string.Join(';', schema.Problems(Resource($"apiVersion: example.com/v1\nkind: Sample\nspec:\n  {spec}\n"))));
    }

    [Fact]
    public void Another_version_is_none_of_the_definitions() =>
        Assert.Equal(["apiVersion: the definition has no version v2"], new CrdSchema(Sample).Problems(Resource("apiVersion: example.com/v2\nkind: Sample\n")));

    [Theory]
    [InlineData("mpijob.yaml")]
    [InlineData("pytorchjob.yaml")]
    [InlineData("trainjob.yaml")]
    public void The_manifest_fits_the_operators_own_definition(string name)
    {
        string? folder = Environment.GetEnvironmentVariable("DISTTRAIN_CRDS");
        Assert.SkipWhen(string.IsNullOrEmpty(folder), "DISTTRAIN_CRDS names no folder with the operators' CustomResourceDefinitions (kubectl get crd mpijobs.kubeflow.org -o yaml >FOLDER/mpijobs.yaml)");
        YamlMappingNode resource = Resource(Manifest.Text(name));
        CrdSchema schema = Directory.GetFiles(folder, "*.yaml").Select(path => new CrdSchema(File.ReadAllText(path))).Single(schema => schema.Kind == ((YamlScalarNode)resource["kind"]).Value);
        Assert.Empty(schema.Problems(resource));
    }

    private static YamlMappingNode Resource(string text)
    {
        YamlStream stream = [];
        stream.Load(new StringReader(text));
        return (YamlMappingNode)stream.Documents.Single().RootNode;
    }
}
