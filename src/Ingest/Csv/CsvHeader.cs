using System.Text;

namespace DistTrain.Ingest;

/// <summary>What the first row of a file tells of all its rows: how many fields they have and where the selected columns stand.</summary>
internal sealed class CsvHeader
{
    private CsvHeader(int fieldCount, string[]? names, int[]? selected)
    {
        FieldCount = fieldCount;
        Names = names;
        Selected = selected;
    }

    internal int FieldCount { get; }

    /// <summary>The names of the fields; null in a file without header.</summary>
    internal string[]? Names { get; }

    /// <summary>For each selected column its field; null if all are taken as they stand.</summary>
    internal int[]? Selected { get; }

    internal int ColumnCount => Selected?.Length ?? FieldCount;

    internal string Describe(int column)
    {
        int field = Selected?[column] ?? column;
        return Names is null ? $"field {field + 1}" : $"column '{Names[field]}'";
    }

    /// <summary>Reads the first row of a file.</summary>
    /// <param name="row">Without its line end.</param>
    /// <param name="options">Which columns are wanted.</param>
    /// <param name="file">Named in errors.</param>
    internal static CsvHeader Parse(ReadOnlySpan<byte> row, CsvOptions options, string file)
    {
        byte separator = (byte)options.Separator;
        int[] ends = new int[CsvSplitter.FindFields(row, separator, [])];
        CsvSplitter.FindFields(row, separator, ends);
        if (!options.HasHeader) return new CsvHeader(ends.Length, null, null);
        string[] names = new string[ends.Length];
        byte[] scratch = new byte[row.Length];
        for (int i = 0, start = 0; i < ends.Length; start = ends[i++] + 1)
        {
            ReadOnlySpan<byte> field = row[start..ends[i]];
            names[i] = Encoding.UTF8.GetString(CsvSplitter.IsQuoted(field) ? CsvSplitter.Unquote(field, scratch) : field);
        }
        return new CsvHeader(ends.Length, names, options.Columns.Count == 0 ? null : Select(names, options.Columns, file));
    }

    private static int[] Select(string[] names, IReadOnlyList<string> wanted, string file)
    {
        int[] selected = new int[wanted.Count];
        for (int i = 0; i < selected.Length; i++)
        {
            selected[i] = Array.IndexOf(names, wanted[i]);
            if (selected[i] < 0) throw Error(file, $"there is no column '{wanted[i]}'; the header has {string.Join(", ", names.Take(20))}{(names.Length > 20 ? $" and {names.Length - 20} more" : "")}");
            if (Array.LastIndexOf(names, wanted[i]) != selected[i]) throw Error(file, $"there are several columns '{wanted[i]}'");
        }
        return selected;
    }

    private static IngestException Error(string file, string problem) => new("FromCsv", -1, new SourceLocation(file), problem);
}
