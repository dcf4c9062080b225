using System.Text.Json;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary><c>allocations --check FILE</c> or <c>--write FILE</c>: the gate on what steady-state work allocates.</summary>
public static class AllocationsCommand
{
    private const string Usage = "Usage: allocations --check FILE | --write FILE      (the project's file is bench/allocations.json)";
    private static readonly JsonSerializerOptions s_options = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Runs with the arguments after <c>allocations</c>; gives the exit code: 0, 1 (more is allocated than expected), 2 (usage).</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        if (arguments is not [("--check" or "--write") and { } mode, { } file])
        {
            string hint = arguments.Count > 0 && arguments[0] is not ("--check" or "--write") ? $"unknown option '{arguments[0]}'.{NearestName.Hint(arguments[0], ["--check", "--write"])} " : "";
            Console.Error.WriteLine(hint + Usage);
            return 2;
        }
        if (!FixedTier.IsOn) return FixedTier.RunAgain();
        try
        {
            return mode == "--write" ? Write(file) : Check(file);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or JsonException or DeviceException)
        {
            Console.Error.WriteLine($"allocations: {failure.Message}");
            return 1;
        }
    }

    private static int Write(string file)
    {
        IEnumerable<string> lines = AllocationGauge.MeasureAll().Select(measured => "  " + JsonSerializer.Serialize(measured, s_options));
        File.WriteAllText(file, "[\n" + string.Join(",\n", lines) + "\n]\n");
        Console.WriteLine($"wrote {file}");
        return 0;
    }

    private static int Check(string file)
    {
        AllocationCase[] expected = JsonSerializer.Deserialize<AllocationCase[]>(File.ReadAllText(file)) ?? [];
        Dictionary<(string, string), AllocationCase> left = expected.ToDictionary(entry => (entry.Bench, entry.Case));
        int failures = 0;
        foreach (AllocationCase measured in AllocationGauge.MeasureAll())
        {
            string? complaint = !left.Remove((measured.Bench, measured.Case), out AllocationCase? entry)
                ? $"is not in {file}; add it with --write"
                : Complaint(entry, measured);
            string state = complaint is null ? "ok  " : "FAIL";
            Console.WriteLine($"{state} {measured.Bench} {measured.Case}: {measured.ManagedByteCount} managed bytes, {measured.NativeAllocationCount} native allocations{(complaint is null ? "" : $": {complaint}")}");
            if (complaint is not null) failures++;
        }
        foreach ((string bench, string name) in left.Keys) Console.WriteLine($"FAIL {bench} {name}: in {file}, but no such case is measured");
        return failures + left.Count == 0 ? 0 : 1;
    }

    // Less is a gain to be written down, not a failure; more is.
    private static string? Complaint(AllocationCase expected, AllocationCase measured) =>
        measured.ManagedByteCount > expected.ManagedByteCount ? $"expected at most {expected.ManagedByteCount} managed bytes"
        : measured.NativeAllocationCount > expected.NativeAllocationCount ? $"expected at most {expected.NativeAllocationCount} native allocations"
        : null;
}
