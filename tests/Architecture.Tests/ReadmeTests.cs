using System.Globalization;
using System.Text.RegularExpressions;

namespace DistTrain.Architecture.Tests;

/// <summary>The README's code is the sample's code, and the sample does what the README says.</summary>
public sealed partial class ReadmeTests
{
    private static string SampleFile => Repository.PathOf("samples", "QuickStart", "Program.cs");

    [Fact]
    public void Readme_shows_the_quick_start_sample_word_for_word()
    {
        string readme = File.ReadAllText(Repository.PathOf("README.md")).ReplaceLineEndings("\n");

        Assert.Contains($"```csharp\n{File.ReadAllText(SampleFile).ReplaceLineEndings("\n")}```", readme, StringComparison.Ordinal);
    }

    [Fact]
    public void Quick_start_sample_has_at_most_twenty_lines()
    {
        Assert.InRange(File.ReadLines(SampleFile).Count(line => line.Length > 0), 1, 20);
    }

    [Fact]
    public void Quick_start_sample_trains_the_digits_and_saves_the_weights()
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-sample-").FullName;
        try
        {
            string program = Repository.PathOf("artifacts", "bin", "QuickStart", new DirectoryInfo(AppContext.BaseDirectory).Name, "QuickStart.dll");
            (int exitCode, string output) = Repository.Run(folder, TimeSpan.FromMinutes(5), "dotnet", program);

            Assert.True(exitCode == 0, output);
            Match accuracy = AccuracyLine().Match(output);
            Assert.True(accuracy.Success, output);
            Assert.InRange(double.Parse(accuracy.Groups[1].Value, CultureInfo.InvariantCulture), 0.95, 1.0);
            Assert.True(new FileInfo(Path.Combine(folder, "digits.safetensors")).Length > 50_000);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_page_on_ingestion_shows_the_heart_of_its_sample_word_for_word()
    {
        string page = File.ReadAllText(Repository.PathOf("docs", "ingestion.md")).ReplaceLineEndings("\n");
        string sample = File.ReadAllText(Repository.PathOf("samples", "Ingestion", "Program.cs")).ReplaceLineEndings("\n");
        string shown = page.Split("```csharp\n")[1].Split("```")[0];

        Assert.Contains(".GlobalShuffle(", shown, StringComparison.Ordinal);
        Assert.Contains(shown, sample, StringComparison.Ordinal);
    }

    [Fact]
    public void Ingestion_sample_reads_what_it_wrote_and_goes_on_where_it_broke_off()
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-sample-").FullName;
        try
        {
            string program = Repository.PathOf("artifacts", "bin", "Ingestion", new DirectoryInfo(AppContext.BaseDirectory).Name, "Ingestion.dll");
            (int exitCode, string output) = Repository.Run(folder, TimeSpan.FromMinutes(5), "dotnet", program);

            Assert.True(exitCode == 0, output);
            // Two epochs of a half of 1,497 digits are 47 batches of 32.
            Assert.Contains("10 batches, broken off, 37 more", output, StringComparison.Ordinal);
            // Two files each, of 375 + 374 and of 374 + 374 digits; 32 of each a step.
            Assert.Contains("24 steps of two replicas, which read 749 and 748 samples of their own files", output, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [GeneratedRegex(@"test accuracy (\d\.\d+)")]
    private static partial Regex AccuracyLine();
}
