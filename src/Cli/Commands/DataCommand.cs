using System.CommandLine;
using DistTrain.Ingest;

namespace DistTrain.Cli;

/// <summary><c>disttrain data list | fetch</c>.</summary>
internal static class DataCommand
{
    public static Command Create()
    {
        Command list = new("list", "Shows the data sets, where they are and how to get those that are missing.");
        list.SetAction(_ =>
        {
            PrintList(Console.Out);
            return ExitCode.Ok;
        });
        Argument<string> name = new("name") { Description = DataSetCatalog.FashionMnist };
        Option<string?> from = new("--from") { Description = "a folder that holds the four upstream files, instead of downloading" };
        Command fetch = new("fetch", "Brings a data set into the cache folder and verifies its checksums.") { name, from };
        fetch.SetAction((parsed, cancellation) => Task.FromResult(Fetch(parsed.GetValue(name)!, parsed.GetValue(from), cancellation)));
        return new Command("data", "Lists and fetches data sets.") { list, fetch };
    }

    public static void PrintList(TextWriter output)
    {
        foreach (DataSetListing set in new DataSetCatalog().List())
        {
            output.WriteLine($"{set.Name,-20} {set.Description}, {set.TrainCount:N0} + {set.TestCount:N0} samples");
            output.WriteLine($"{"",-20} {(set.IsPresent ? set.Location : $"not here; get it with: {set.HowToGet}")}");
        }
    }

    private static int Fetch(string name, string? from, CancellationToken cancellation)
    {
        Choice.Check("data fetch", name, [DataSetCatalog.FashionMnist]);
        DataSetFetcher.FetchFashionMnist(from, Console.Error, cancellation);
        return ExitCode.Ok;
    }
}
