using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary><c>bench straggler</c>: what a slow worker costs those that wait for it, and those that do not.</summary>
public static class StragglerCommand
{
    /// <summary>The word after <c>bench</c>.</summary>
    public const string Name = "straggler";

    /// <summary>What <c>--list</c> says of it.</summary>
    public const string Description = "training while one of several workers is slow: mirrored and through a parameter server, in turn";

    private const string Usage = "bench straggler [--workers 4] [--slowdown 5] [--batch 64] [--seconds 4] [--rounds 3] [--json FILE]";

    /// <summary>Runs with the arguments after the name; gives the exit code: 0, 1 (a device that can't be used), 2 (usage).</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        try
        {
            Dictionary<string, double> numbers = new() { ["--workers"] = 4, ["--slowdown"] = 5, ["--batch"] = 64, ["--seconds"] = 4, ["--rounds"] = 3 };
            if (arguments.Contains("--help"))
            {
                Console.WriteLine(Usage);
                return 0;
            }
            string? file = Read(arguments, numbers);
            Measure(numbers, file);
            return 0;
        }
        catch (UsageException mistake)
        {
            Console.Error.WriteLine($"bench: {mistake.Message}");
            return 2;
        }
        catch (Exception failure) when (failure is DeviceException or OutOfDeviceMemoryException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"bench: {failure.Message}");
            return 1;
        }
    }

    private static void Measure(Dictionary<string, double> numbers, string? file)
    {
        int workers = (int)numbers["--workers"], batch = (int)numbers["--batch"];
        TimeSpan time = TimeSpan.FromSeconds(numbers["--seconds"]);
        TextWriter output = file == "-" ? Console.Error : Console.Out;
        Straggler even = new(workers, 1, batch), slowed = new(workers, numbers["--slowdown"], batch);
        (string Case, Func<double> Measure)[] cases =
        [
            ($"mirrored, {workers} workers alike", () => even.Synchronous(time)),
            ($"parameter-server, {workers} workers alike", () => even.Asynchronous(time)),
            ($"mirrored, one of {workers} workers {numbers["--slowdown"]:0.#} times as slow", () => slowed.Synchronous(time)),
            ($"parameter-server, one of {workers} workers {numbers["--slowdown"]:0.#} times as slow", () => slowed.Asynchronous(time)),
        ];
        double[][] rates = [.. Enumerable.Range(0, (int)numbers["--rounds"]).Select(_ => cases.Select(each => each.Measure()).ToArray())];
        List<Row> rows = [];
        for (int i = 0; i < cases.Length; i++)
        {
            double median = Statistic.Median([.. rates.Select(round => round[i])]);
            rows.Add(new Row(Name, cases[i].Case, 1, workers, "inprocess", null, "disttrain", Row.Rounded(median), "samples/s", "higher"));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{cases[i].Case,-52} {median,8:N0} samples/s"));
        }
        double ratio = Statistic.Median([.. rates.Select(round => round[3] / round[2])]);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"with the slow worker, not waiting is {ratio:F2} times as fast (median of {rates.Length} rounds in turn)"));
        if (file == "-") Console.Out.Write(Row.ToJson(rows));
        else if (file is not null) File.WriteAllText(file, Row.ToJson(rows));
    }

    private static string? Read(IReadOnlyList<string> arguments, Dictionary<string, double> numbers)
    {
        string? file = null;
        for (int i = 0; i < arguments.Count; i += 2)
        {
            string name = arguments[i], value = i + 1 < arguments.Count ? arguments[i + 1] : throw new UsageException($"{name} needs a value; {Usage}");
            if (name == "--json") file = value;
            else if (!numbers.ContainsKey(name)) throw new UsageException($"unknown option '{name}'; {Usage}");
            else numbers[name] = double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && number >= 1 ? number : throw new UsageException($"{name} {value}: expected a number of at least 1");
        }
        return file;
    }
}
