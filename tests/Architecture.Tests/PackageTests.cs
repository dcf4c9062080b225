using System.IO.Compression;

namespace DistTrain.Architecture.Tests;

/// <summary>Packs the libraries and uses them as a stranger would: from a feed, in a new project.</summary>
public sealed class PackageTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-pack-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Kernels_package_alone_multiplies_two_matrices_in_a_new_project()
    {
        Pack("Kernels");
        string project = Path.Combine(_folder, "user");
        Directory.CreateDirectory(project);
        File.WriteAllText(Path.Combine(project, "user.csproj"), """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <RestoreAdditionalProjectSources>../feed</RestoreAdditionalProjectSources>
                <RestorePackagesPath>../packages</RestorePackagesPath>
              </PropertyGroup>
              <ItemGroup><PackageReference Include="DistTrain.Kernels" Version="0.1.0" /></ItemGroup>
            </Project>
            """);
        File.WriteAllText(Path.Combine(project, "Program.cs"), """
            using DistTrain.Kernels;

            using ComputeDevice device = DeviceCatalog.Open("cpu");
            ExecutionStream stream = device.DefaultStream;
            using Tensor a = Tensor.From(stream, new[] { 1f, 2f, 3f, 4f }, new Shape(2, 2));
            using Tensor b = Tensor.From(stream, new[] { 5f, 6f, 7f, 8f }, new Shape(2, 2));
            using Tensor c = Tensor.Allocate(stream, new Shape(2, 2));
            MatMul.Forward(stream, c, a, b);
            Console.WriteLine(string.Join(" ", c.ToArray<float>(stream)));
            """);

        (int exitCode, string output) = Repository.Run(project, TimeSpan.FromMinutes(5), "dotnet", "run", "--project", project);

        Assert.True(exitCode == 0, output);
        Assert.Contains("19 22 43 50", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Kernels")]
    [InlineData("Ingest")]
    [InlineData("Collectives")]
    [InlineData("Runtime")]
    [InlineData("ParameterServer")]
    public void Each_library_packs_with_its_documentation_readme_and_symbols(string library)
    {
        Pack(library);

        string feed = Path.Combine(_folder, "feed");
        using ZipArchive package = ZipFile.OpenRead(Path.Combine(feed, $"DistTrain.{library}.0.1.0.nupkg"));
        string[] entries = [.. package.Entries.Select(entry => entry.FullName)];
        Assert.Contains($"lib/net10.0/DistTrain.{library}.dll", entries);
        Assert.Contains($"lib/net10.0/DistTrain.{library}.xml", entries);
        Assert.Contains("README.md", entries);
        using ZipArchive symbols = ZipFile.OpenRead(Path.Combine(feed, $"DistTrain.{library}.0.1.0.snupkg"));
        Assert.Contains(symbols.Entries, entry => entry.FullName == $"lib/net10.0/DistTrain.{library}.pdb");
    }

    private void Pack(string library)
    {
        // A release build of the tests has just built what is packed.
        string[] built = Path.GetFileName(AppContext.BaseDirectory.TrimEnd('/')) == "release" ? ["--no-build"] : [];
        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(5), "dotnet", ["pack",
            Repository.PathOf("src", library), "-c", "Release", "-o", Path.Combine(_folder, "feed"), "-v", "quiet", "-nologo", .. built]);
        Assert.True(exitCode == 0, output);
    }
}
