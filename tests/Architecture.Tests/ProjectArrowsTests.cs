using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace DistTrain.Architecture.Tests;

public sealed partial class ProjectArrowsTests
{
    /// <summary>Every arrow that may exist inside src, from the design.</summary>
    private static readonly HashSet<(string From, string To)> s_allowed =
    [
        ("Runtime", "Kernels"), ("Runtime", "Collectives"), ("Runtime", "Ingest"), ("Collectives", "Kernels"),
        ("Cli", "Runtime"), ("Cli", "ParameterServer"), ("ParameterServer", "Runtime"),
    ];

    [Fact]
    public void Projects_in_src_point_only_along_the_allowed_arrows()
    {
        (string From, string To)[] found = [.. Arrows()];

        Assert.NotEmpty(found);
        Assert.Empty(found.Except(s_allowed));
    }

    [Fact]
    public void Kernels_and_Ingest_know_nobody()
    {
        Assert.DoesNotContain(Arrows(), arrow => arrow.From is "Kernels" or "Ingest");
    }

    [Fact]
    public void Strategies_never_name_one_another()
    {
        string[] strategies = ["OneDevice", "Mirrored", "MultiWorkerMirrored", "CentralStorage", "ParameterServer", "Sharded"];
        Dictionary<string, string[]> files = strategies.ToDictionary(name => name, name => Directory.GetFiles(Repository.PathOf("src", "Runtime", "Strategies", name), "*.cs", SearchOption.AllDirectories));
        Assert.All(files.Values, Assert.NotEmpty);

        // A file has the name of its type; comments may speak of others.
        Assert.Empty(
            from strategy in strategies
            from file in files[strategy]
            let words = File.ReadLines(file).SelectMany(line => Word().Matches(line.Split("//")[0]).Select(word => word.Value)).ToHashSet()
            from other in strategies
            where other != strategy
            from type in files[other].Select(Path.GetFileNameWithoutExtension)
            where words.Contains(type!)
            select $"{strategy}/{Path.GetFileName(file)} names {type} of {other}");
    }

    [Fact]
    public void No_public_member_shows_an_ILGPU_type()
    {
        string api = File.ReadAllText(Repository.PathOf("tests", "Architecture.Tests", "PublicApi", "DistTrain.Kernels.txt"));

        Assert.DoesNotContain("ILGPU.", api, StringComparison.Ordinal);
    }

    [Fact]
    public void No_source_file_has_more_than_500_lines()
    {
        IEnumerable<string> long_files = Directory.EnumerateFiles(Repository.PathOf("src"), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Where(file => File.ReadLines(file).Count() > 500)
            .Select(file => Path.GetRelativePath(Repository.Root, file));

        Assert.Empty(long_files);
    }

    [Fact]
    public void Every_package_version_is_pinned_exactly_and_in_one_place()
    {
        XDocument central = XDocument.Load(Repository.PathOf("Directory.Packages.props"));
        string[] versions = [.. central.Descendants("PackageVersion").Select(package => (string)package.Attribute("Version")!)];

        Assert.NotEmpty(versions);
        Assert.All(versions, version => Assert.Matches(@"^\d+\.\d+\.\d+(\.\d+)?$", version));
    }

    private static IEnumerable<(string From, string To)> Arrows()
    {
        foreach (string project in Directory.EnumerateFiles(Repository.PathOf("src"), "*.csproj", SearchOption.AllDirectories))
        {
            string from = Path.GetFileName(Path.GetDirectoryName(project)!);
            foreach (XElement reference in XDocument.Load(project).Descendants("ProjectReference"))
            {
                string target = ((string)reference.Attribute("Include")!).Replace('\\', '/');
                yield return (from, Path.GetFileName(Path.GetDirectoryName(target))!);
            }
        }
    }

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word();
}
