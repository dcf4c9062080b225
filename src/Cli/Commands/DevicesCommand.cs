using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary><c>disttrain devices</c>: every kind of device, and for each unusable one the reason.</summary>
internal static class DevicesCommand
{
    public static Command Create()
    {
        Option<bool> json = new("--json") { Description = "one JSON array on stdout" };
        Command command = new("devices", "Lists devices with memory, cores and instruction set, and why others can't be used.") { json };
        command.SetAction(parsed => Run(parsed.GetValue(json)));
        return command;
    }

    private static int Run(bool json)
    {
        IReadOnlyList<DeviceInfo> devices = DeviceCatalog.List();
        if (json) Console.WriteLine(JsonSerializer.Serialize(devices.Select(Row), JsonOutput.Options));
        else foreach (DeviceInfo device in devices) Console.WriteLine(Line(device));
        return ExitCode.Ok;
    }

    private static object Row(DeviceInfo device) => new
    {
        device.Name,
        Kind = device.Kind.ToString().ToLowerInvariant(),
        Usable = device.Unusable is null,
        device.Description,
        MemoryBytes = device.MemoryByteCount,
        Cores = device.CoreCount,
        Reason = device.Unusable,
    };

    private static string Line(DeviceInfo device) => device.Unusable is null
        ? string.Create(CultureInfo.InvariantCulture, $"{device.Name,-12} {device.Description}, {device.MemoryByteCount / 1e9:F1} GB")
        : $"{device.Name,-12} not usable: {device.Unusable}";
}
