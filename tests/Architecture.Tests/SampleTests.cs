using System.Globalization;
using System.Text.RegularExpressions;

namespace DistTrain.Architecture.Tests;

/// <summary>The programs that users start from do what they say.</summary>
public sealed partial class SampleTests
{
    [Theory]
    [InlineData("Strategies", 2)]
    [InlineData("CustomLoop", 1)]
    public void A_sample_of_training_on_two_replicas_learns(string sample, int accuracies)
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
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("Strategies", 0)]
    [InlineData("CustomLoop", 1)]
    public void The_page_on_strategies_shows_the_heart_of_the_samples_word_for_word(string sample, int block)
    {
        string page = File.ReadAllText(Repository.PathOf("docs", "strategies.md")).ReplaceLineEndings("\n");
        string program = File.ReadAllText(Repository.PathOf("samples", sample, "Program.cs")).ReplaceLineEndings("\n");
        Assert.Contains(page.Split("```csharp\n")[block + 1].Split("```")[0], program, StringComparison.Ordinal);
    }

    [GeneratedRegex(@"test accuracy (0\.\d+)")]
    private static partial Regex Accuracy();
}
