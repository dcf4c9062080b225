using System.Globalization;
using System.Text.RegularExpressions;

namespace DistTrain.Architecture.Tests;

/// <summary>The programs that users start from do what they say.</summary>
public sealed partial class SampleTests
{
    [Theory]
    [InlineData("Strategies", 2, true)]
    [InlineData("CustomLoop", 1, true)]
    [InlineData("ParameterServer", 1, false)]
    public void A_sample_of_training_on_two_replicas_learns(string sample, int accuracies, bool goesOn)
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-sample-").FullName;
        try
        {
            string program = Repository.PathOf("artifacts", "bin", sample, new DirectoryInfo(AppContext.BaseDirectory).Name, $"{sample}.dll");
            (int exitCode, string output) = Repository.Run(folder, TimeSpan.FromMinutes(5), "dotnet", program);

            Assert.True(exitCode == 0, output);
            MatchCollection found = Accuracy().Matches(output);
            Assert.Equal(accuracies, found.Count);
            Assert.All(found, match => Assert.InRange(double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), 0.95, 1.0));

            if (!goesOn) return;
            // The strategies' sample trains with checkpoints in its second half; the loop does from the beginning.
            (exitCode, string again) = Repository.Run(folder, TimeSpan.FromMinutes(5), "dotnet", program);
            Assert.True(exitCode == 0, again);
            Assert.Equal(1, GoingOn().Count(again));
            Assert.Equal(found.Last().Value, Accuracy().Matches(again).Last().Value);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("Strategies", 0)]
    [InlineData("CustomLoop", 1)]
    [InlineData("ParameterServer", 2)]
    public void The_page_on_strategies_shows_the_heart_of_the_samples_word_for_word(string sample, int block)
    {
        string page = File.ReadAllText(Repository.PathOf("docs", "strategies.md")).ReplaceLineEndings("\n");
        string program = File.ReadAllText(Repository.PathOf("samples", sample, "Program.cs")).ReplaceLineEndings("\n");
        Assert.Contains(page.Split("```csharp\n")[block + 1].Split("```")[0], program, StringComparison.Ordinal);
    }

    [Fact]
    public void The_sample_of_collectives_adds_up_over_two_ranks_and_plans_elastic_batches()
    {
        string program = Repository.PathOf("artifacts", "bin", "Collectives", new DirectoryInfo(AppContext.BaseDirectory).Name, "Collectives.dll");
        (int exitCode, string output) = Repository.Run(Path.GetTempPath(), TimeSpan.FromMinutes(1), "dotnet", program);
        Assert.True(exitCode == 0, output);
        Assert.Equal(["9792 = 48 x 17 x 12", "rank 0: 6 40, 1,048,576 registered bytes", "rank 1: 6 40, 1,048,576 registered bytes"], output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_block_of_code_of_the_pages_is_part_of_a_sample_that_is_compiled()
    {
        string[] programs = [.. Directory.EnumerateFiles(Repository.PathOf("samples"), "Program.cs", SearchOption.AllDirectories).Select(file => File.ReadAllText(file).ReplaceLineEndings("\n"))];
        int count = 0;
        foreach (string file in Directory.EnumerateFiles(Repository.PathOf("docs"), "*.md", SearchOption.AllDirectories).Append(Repository.PathOf("README.md")))
        {
            foreach (string part in File.ReadAllText(file).ReplaceLineEndings("\n").Split("```csharp\n").Skip(1))
            {
                string block = part.Split("```")[0];
                Assert.True(programs.Any(program => program.Contains(block, StringComparison.Ordinal)), $"{file}: in no sample:\n{block}");
                count++;
            }
        }
        Assert.True(count >= 6, $"{count} blocks");
    }

    [GeneratedRegex("going on from the checkpoint of step [1-9]")]
    private static partial Regex GoingOn();

    [GeneratedRegex(@"test accuracy (0\.\d+)")]
    private static partial Regex Accuracy();
}
