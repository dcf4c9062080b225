using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Rows for people: printed as they come, with how many times as fast as each other implementation ours is.</summary>
public sealed class RowTable(TextWriter output)
{
    private string _bench = "";
    private string _case = "";
    private int _caseWidth;

    /// <summary>Says what is measured, and beside whom.</summary>
    public void Begin(ComputeDevice device, IEnumerable<PeerProcess> peers)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(peers);
        output.WriteLine();
        output.WriteLine($"{device.Name}: {device.Description}");
        foreach (PeerProcess peer in peers) output.WriteLine($"{peer.Name}: {peer.Description}");
        (_bench, _case) = ("", "");
    }

    /// <summary>Prints one row.</summary>
    /// <param name="row">The row.</param>
    /// <param name="ratio">Our speed divided by this implementation's.</param>
    public void Add(Row row, double ratio)
    {
        ArgumentNullException.ThrowIfNull(row);
        bool isFirst = row.Case != _case || row.Bench != _bench;
        if (row.Bench != _bench)
        {
            _bench = row.Bench;
            _caseWidth = Math.Max(4, BenchCatalog.WidestCaseName(row.Bench));
            output.WriteLine();
            output.WriteLine($"{row.Bench,-18}");
            output.WriteLine($"  {"case".PadRight(_caseWidth)}  threads  {"implementation",-14}  {"value",12} {"unit",-9}  ours / it");
        }
        _case = row.Case;
        string value = row.Value.ToString(row.Value >= 1000 ? "N0" : "G4", CultureInfo.InvariantCulture);
        string compared = isFirst ? "" : ratio.ToString("F2", CultureInfo.InvariantCulture);
        output.WriteLine($"  {(isFirst ? row.Case : "").PadRight(_caseWidth)}  {(isFirst ? $"{row.Threads}" : ""),7}  {row.Implementation,-14}  {value,12} {row.Unit,-9}  {compared,9}");
        output.Flush();
    }
}
