namespace DistTrain.Ingest;

/// <summary>
/// The row groups of many files as one list of rows. Keeps the group in use and, up to a number of bytes, others used lately. Thread-safe: one thread decodes at a time.
/// </summary>
internal sealed class ParquetGroupCache : IDisposable
{
    private readonly record struct Place(string Location, string File, int Group, long FirstRow, long Start);

    private readonly ParquetReadOptions _options;
    private readonly StreamContext _context;
    private readonly List<Place> _places = [];
    private readonly Lock _lock = new();

    // Latest first.
    private readonly List<(int Place, ParquetRowGroup Group)> _kept = [];
    private ParquetFile? _open;

    /// <summary>Reads every file's footer.</summary>
    internal ParquetGroupCache(List<string> files, ParquetReadOptions options, StreamContext context)
    {
        _options = options;
        _context = context;
        foreach (string path in files)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            using ParquetFile file = new(path, options, context);
            long firstRow = 0;
            for (int i = 0; i < file.RowGroups.Count; i++)
            {
                if (file.RowGroups[i].NumRows > 0) _places.Add(new Place(path, file.Name, i, firstRow, RowCount));
                firstRow += file.RowGroups[i].NumRows;
                RowCount += file.RowGroups[i].NumRows;
            }
        }
    }

    internal long RowCount { get; }

    /// <summary>The decoded row group with a row, to be given back with <see cref="Return"/>.</summary>
    internal ParquetRowGroup Borrow(long position, out int row)
    {
        lock (_lock)
        {
            int at = _kept.Count > 0 && IsIn(_kept[0].Place, position) ? _kept[0].Place : Find(position);
            ParquetRowGroup group = Get(at);
            group.Retain();
            row = (int)(position - _places[at].Start);
            return group;
        }
    }

    internal void Return(ParquetRowGroup group)
    {
        lock (_lock) group.Release();
    }

    internal SourceLocation Locate(long position)
    {
        Place place = _places[Find(position)];
        return new SourceLocation(place.File, 0, place.FirstRow + position - place.Start);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach ((_, ParquetRowGroup group) in _kept) group.Release();
            _kept.Clear();
            _open?.Dispose();
            _open = null;
        }
    }

    private ParquetRowGroup Get(int place)
    {
        int at = _kept.FindIndex(kept => kept.Place == place);
        if (at == 0) return _kept[0].Group;
        ParquetRowGroup group = at > 0 ? _kept[at].Group : Decode(_places[place]);
        if (at > 0) _kept.RemoveAt(at);
        _kept.Insert(0, (place, group));
        return group;
    }

    private ParquetRowGroup Decode(Place place)
    {
        // Room first, so that the sum stays below the bound while decoding.
        long kept = 0;
        for (int i = 0; i < _kept.Count; i++)
        {
            kept += _kept[i].Group.ByteCount;
            if (kept <= _options.CacheByteCount) continue;
            for (int j = _kept.Count - 1; j >= i; j--) _kept[j].Group.Release();
            _kept.RemoveRange(i, _kept.Count - i);
        }
        if (_open?.Location != place.Location)
        {
            _open?.Dispose();
            _open = null;
            _open = new ParquetFile(place.Location, _options, _context);
        }
        long rows = (long)(place.Group < _open.RowGroups.Count ? _open.RowGroups[place.Group].NumRows : -1);
        if (rows != RowsOf(place)) throw new DataFormatException(place.File, 0, $"row group {place.Group} had {RowsOf(place):N0} rows when the run began and has {rows:N0} now: the file was changed while being read");
        return _open.Read(place.Group, place.FirstRow, _context.Cancellation);
    }

    private long RowsOf(Place place)
    {
        int next = Find(place.Start) + 1;
        return (next < _places.Count ? _places[next].Start : RowCount) - place.Start;
    }

    private bool IsIn(int place, long position) =>
        position >= _places[place].Start && position < (place + 1 < _places.Count ? _places[place + 1].Start : RowCount);

    private int Find(long position)
    {
        int low = 0, high = _places.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            if (_places[middle].Start <= position) low = middle;
            else high = middle - 1;
        }
        return low;
    }
}
