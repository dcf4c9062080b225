using System.Reflection;
using PublicApiGenerator;

namespace DistTrain.Architecture.Tests;

/// <summary>The public API as approved text: a change shows in review. DISTTRAIN_APPROVE=1 writes the files anew.</summary>
public sealed class PublicApiTests
{
    [Theory]
    [InlineData("DistTrain.Kernels")]
    [InlineData("DistTrain.Ingest")]
    [InlineData("DistTrain.Collectives")]
    [InlineData("DistTrain.Runtime")]
    [InlineData("DistTrain.ParameterServer")]
    public void Public_API_is_the_approved_one(string assembly)
    {
        string approvedFile = Repository.PathOf("tests", "Architecture.Tests", "PublicApi", assembly + ".txt");
        string found = Assembly.Load(assembly).GeneratePublicApi(new ApiGeneratorOptions { IncludeAssemblyAttributes = false }).ReplaceLineEndings("\n") + "\n";
        if (Environment.GetEnvironmentVariable("DISTTRAIN_APPROVE") == "1") File.WriteAllText(approvedFile, found);

        string approved = File.ReadAllText(approvedFile).ReplaceLineEndings("\n");

        Assert.Equal(approved, found);
    }
}
