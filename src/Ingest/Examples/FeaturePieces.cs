namespace DistTrain.Ingest;

/// <summary>The pieces in which a feature's values lie, in order, wherever they are scattered.</summary>
internal ref struct FeaturePieces
{
    private enum Level
    {
        Entry,
        Feature,
        List,
        Piece,
        Done,
    }

    private readonly FeatureSlot _slot;
    private readonly Level _top;
    private WireReader _reader;
    private Level _level;
    private int _outerOfFeature, _outerOfList;

    internal FeaturePieces(ReadOnlySpan<byte> record, scoped in SourceLocation source, scoped in FeatureSlot slot)
    {
        _slot = slot;
        _reader = new WireReader(record, source, slot.Start, slot.Start + slot.Length);
        _level = _top = slot.Layout switch
        {
            FeatureLayout.OneEntry => Level.Entry,
            FeatureLayout.OneFeature => Level.Feature,
            FeatureLayout.OneList => Level.List,
            FeatureLayout.OnePiece => Level.Piece,
            _ => Level.Done,
        };
    }

    internal ReadOnlySpan<byte> Current { get; private set; }

    internal bool MoveNext()
    {
        if (_level == Level.Piece)
        {
            Current = _slot.Values(_reader.Record);
            _level = Level.Done;
            return true;
        }
        if (_level == Level.Done) return false;
        while (true)
        {
            if (_reader.AtEnd)
            {
                if (_level == _top) return false;
                _reader.Leave(_level == Level.List ? _outerOfList : _outerOfFeature);
                _level--;
            }
            else if (_level == Level.List)
            {
                ListPiece piece = default;
                if (!ListPiece.TryRead(ref _reader, _slot.Kind, ref piece)) continue;
                Current = _reader.Record.Slice(piece.Start, piece.Length);
                return true;
            }
            else Descend();
        }
    }

    private void Descend()
    {
        uint tag = _reader.ReadTag();
        if (_level == Level.Entry && tag == FeatureTags.Value) _outerOfFeature = _reader.Enter();
        else if (_level == Level.Feature && tag == FeatureTags.List(_slot.Kind) && _reader.Position >= _slot.FirstList) _outerOfList = _reader.Enter();
        else
        {
            _reader.Skip(tag);
            return;
        }
        _level++;
    }
}
